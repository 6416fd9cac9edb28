"""The results of the serving benchmark as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.markdown import grid
from benchmarks.results import Row, kind_of

CTGAN_ROWS_PER_SECOND, TABULARARGN_ROWS_PER_SECOND = 25_000, 9_000
"""In-process samplers of peers at their defaults, one core."""

REPORTED = "reported, not measured here"

MiB = 1 << 20


def table(rows: Sequence[Row]) -> str:
    """Return the results as Markdown."""
    lines = [[*line, kind_of(row["machine"])] for row in rows for line in LINES[row["case"]](row)]
    return grid(["what", "bar", "measured", "met", "machine"], lines)


def _speed(row: Row) -> list[list[str]]:
    lines = []
    for candidates, rates in row["rates"].items():
        ratio = np.median(np.array(rates["http"]) / np.array(rates["engine"]))
        http = float(np.median(rates["http"]))
        what = f"Arrow over HTTP, credit default, {candidates} candidate(s) per row, one thread"
        lines.append(
            [
                f"{what}: share of the engine's rows/s",
                "≥ 70 %",
                f"{100 * ratio:.0f} % ({http:,.0f} rows/s)",
                _met(ratio >= 0.7),
            ]
        )
        for peer, own in (("CTGAN", CTGAN_ROWS_PER_SECOND), ("TabularARGN", TABULARARGN_ROWS_PER_SECOND)):
            lines.append(
                [
                    f"the same beside {peer}'s sampler in process ({own:,} rows/s, {REPORTED})",
                    "≥ 10 ×",
                    f"{http / own:.1f} ×",
                    _met(http >= 10 * own),
                ]
            )
    return lines


def _latency(row: Row) -> list[list[str]]:
    lines = []
    for candidates, found in row["latency"].items():
        what = f"100 rows at 20 requests/s, {candidates} candidate(s) per row: p50, p99"
        answered = set(found["statuses"]) == {"200"} and not found["wrong"]
        met = answered and found["p50_ms"] <= 15 and found["p99_ms"] <= 60
        lines.append([what, "15 ms, 60 ms", f"{found['p50_ms']:.1f} ms, {found['p99_ms']:.1f} ms", _met(met)])
    return lines


def _memory(row: Row) -> list[list[str]]:
    grown = row["growth_bytes"] / MiB
    what = f"memory growth over {row['rows']:,} streamed rows, front and replica"
    return [[what, "≤ 100 MiB", f"{grown:.0f} MiB", _met(grown <= 100)]]


def _stalled(row: Row) -> list[list[str]]:
    grown = row["growth_bytes"] / MiB
    what = f"memory growth with {row['readers']} readers that take nothing"
    return [[what, "bounded", f"{grown:.0f} MiB", _met(grown <= 100)]]


def _overload(row: Row) -> list[list[str]]:
    normal = row.get("normal", 0.9)  # rows of before do not say it
    share, slower = row["goodput"] / row["capacity"], row["p99"] / row["p99_normal"]
    met = share >= 0.8 and set(row["statuses"]) <= {"200", "429", "503"} and not row["wrong"]
    return [
        [
            f"goodput at 4 × the capacity of {row['capacity']:.1f} requests of 10,000 rows a second",
            "≥ 80 %, only 429 and 503",
            f"{100 * share:.0f} % ({_told(row)})",
            _met(met),
        ],
        [
            f"p99 of its answers, beside that at {100 * normal:.0f} % of capacity",
            "≤ 2 ×",
            f"{slower:.1f} × ({row['p99']:.2f} s, {row['p99_normal']:.2f} s)",
            _met(slower <= 2),
        ],
    ]


def _cancelled(row: Row) -> list[list[str]]:
    grown = row["growth_bytes"] / MiB
    met = grown <= 20 and row["descriptors"] <= 2 and row["replica_cpu_percent"] <= 20
    found = f"{grown:.0f} MiB, {row['descriptors']} descriptors, replica {row['replica_cpu_percent']:.0f} %"
    return [[f"left by {row['cancelled']} downloads that were broken off", "nothing", found, _met(met)]]


def _killed(row: Row) -> list[list[str]]:
    right = row["statuses"].get("200", 0) - row["wrong"]
    # Rows of before know only that an answer was whole.
    what, found = (
        ("answers with just the rows asked for", "right") if "exact" in row else ("whole answers", "whole")
    )
    return [
        [
            f"{row['kills']} replicas killed under load: {what}",
            "no wrong or cut 200",
            f"{right} {found} of {_told(row)}",
            _met(not row["wrong"]),
        ]
    ]


def _updated(row: Row) -> list[list[str]]:
    met = set(row["statuses"]) == {"200"} and not row["wrong"] and row["version"] == row["updates"] + 1
    return [[f"{row['updates']} new versions under load", "0 failed requests", _told(row), _met(met)]]


def _told(row: Row) -> str:
    return ", ".join(f"{n} × {status}" for status, n in sorted(row["statuses"].items()))


def _met(holds: object) -> str:
    return "yes" if holds else "no"


LINES: dict[str, Callable[[Row], list[list[str]]]] = {
    "speed": _speed,
    "latency": _latency,
    "memory": _memory,
    "stalled": _stalled,
    "overload": _overload,
    "cancelled": _cancelled,
    "killed": _killed,
    "updated": _updated,
}
