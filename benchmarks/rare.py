"""A rare class at its natural rate: 0.17 % of frauds, unconditional rate and quality of `where Class=1`.

    python -m benchmarks rare --seed 0 --seed 1 --seed 2 --seconds 600

The sample of the ULB cards holds all 492 frauds and 6,890 normal rows; the normal rows are repeated
until they are as many as in the whole set. Trained on all of these rows: there is nothing to choose
and no score on unseen rows here. Rows drawn with `where Class=1` are told from the 473 distinct real frauds,
beside 473 generated normal rows from 473 real ones, again and again with new rows.

So few rows are soon learnt by heart, which the same judge would praise. So a second model is trained on all
normal rows and one half of the frauds, for half as long: its frauds are told from those of the other half,
beside the two halves from each other, and shall lie no nearer to the own half than to the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.command import parser, seeds
from benchmarks.datasets import SHARED
from benchmarks.markdown import grid, grouped
from benchmarks.measures import half_share
from benchmarks.quality_tables import GUARD
from benchmarks.results import Results, Row
from benchmarks.runs import settings, train_by_ray
from fingan.data import conform, infer_schema, read_table
from fingan.data.schema import TableSchema
from fingan.evaluation.detection import detect
from fingan.evaluation.frame import frames
from fingan.generator import Generator
from fingan.rng import numpy_generator

TARGET = "Class"
NORMALS = 284_315
"""Normal rows of the whole set."""

MOST_OFF = 0.10
"""The bar: the mean rate over seeds is within this share of the true one."""

CLOSE = 16
"""So many times as many frauds as there are in a half are looked at for their distance."""


@dataclass(frozen=True)
class Cards:
    """The cards at their natural rate.

    Attributes:
        natural: all frauds, and the normal rows repeated.
        frauds, normals: the distinct rows of each class.
    """

    natural: pa.Table
    frauds: pa.Table
    normals: pa.Table

    @property
    def rate(self) -> float:
        """Share of frauds."""
        return _rate(self.natural)


def load_cards() -> Cards:
    """Read the sample and restore its natural rate."""
    return restore(read_table(SHARED / "ulb_creditcard_sample.parquet"), NORMALS)


def restore(sample: pa.Table, normals: int) -> Cards:
    """Repeat the normal rows of a sample until there are so many: each equally often, but for a draw."""
    kind = sample[TARGET].to_numpy()
    fraud, normal = np.flatnonzero(kind == 1), np.flatnonzero(kind == 0)
    times, rest = divmod(normals, normal.size)
    drawn = numpy_generator(0, "benchmark-rare").choice(normal, rest, replace=False)
    index = np.sort(np.concatenate([fraud, np.repeat(normal, times), drawn]))
    return Cards(
        sample.take(pa.array(index)),
        _distinct(sample.take(pa.array(fraud))),
        _distinct(sample.take(pa.array(normal))),
    )


def _distinct(table: pa.Table) -> pa.Table:
    names = table.column_names
    return table.group_by(names, use_threads=False).aggregate([]).select(names)


def _rate(table: pa.Table) -> float:
    return float(pc.mean(pc.equal(table[TARGET], 1)).as_py())


def sampled_rate(generator: Generator, rows: int, seed: int) -> float:
    """Return the share of frauds among so many rows with nothing given."""
    batches = generator.iter_batches(rows, seed=seed, threads=2)
    return float(sum(pc.sum(pc.equal(batch[TARGET], 1)).as_py() for batch in batches) / rows)


def told_apart(cards: Cards, generator: Generator, repeats: int, seed: int) -> dict[str, list[float]]:
    """Return the AUC of telling generated from real rows of each class, once per repeat."""
    schema = infer_schema(cards.natural, TARGET)
    size = cards.frauds.num_rows
    found: dict[str, list[float]] = {"frauds": [], "normals": []}
    for repeat in range(repeats):
        rng = numpy_generator(seed, "benchmark-rare-normals", repeat)
        normals = cards.normals.take(pa.array(rng.choice(cards.normals.num_rows, size, replace=False)))
        for name, label, real in (("frauds", 1, cards.frauds), ("normals", 0, normals)):
            made = generator.sample(size, where={TARGET: label}, seed=seed, offset=repeat * size)
            found[name].append(_auc(real, made, schema, repeat))
    return found


def _auc(real: pa.Table, made: pa.Table, schema: TableSchema, repeat: int) -> float:
    first, second = (
        frame.without(TARGET) for frame in frames(schema, [conform(t, schema) for t in (real, made)])
    )
    return detect(first, second, repeat).auc


def run_one(seed: int, seconds: float, workers: int, rows: int, repeats: int) -> dict[str, Any]:
    """Train with one seed, count frauds among free rows, and tell conditional ones from real ones."""
    cards = load_cards()
    budget = f"{seconds:g}s"
    config = settings(TARGET, compute__workers=workers, training__time_budget=budget, seed=seed)
    trained = train_by_ray(cards.natural, config)
    return {
        **trained.cost(),
        "true_rate": cards.rate,
        "rate": sampled_rate(trained.generator, rows, seed),
        "auc": told_apart(cards, trained.generator, repeats, seed),
    }


def run_half(seed: int, seconds: float, workers: int, repeats: int) -> dict[str, Any]:
    """Train on one half of the distinct frauds, and compare what comes out with both halves."""
    cards = load_cards()
    order = numpy_generator(seed, "benchmark-rare-half").permutation(cards.frauds.num_rows)
    size = cards.frauds.num_rows // 2
    own, other = (cards.frauds.take(pa.array(np.sort(order[k * size : (k + 1) * size]))) for k in (0, 1))
    normals = cards.natural.filter(pc.equal(cards.natural[TARGET], 0))
    config = settings(TARGET, compute__workers=workers, training__time_budget=f"{seconds / 2:g}s", seed=seed)
    trained = train_by_ray(pa.concat_tables([normals, own]), config)
    schema = infer_schema(cards.natural, TARGET)
    made = trained.generator.sample((repeats + CLOSE) * size, where={TARGET: 1}, seed=seed)
    unseen = [_auc(other, made.slice(k * size, size), schema, k) for k in range(repeats)]
    return {
        **trained.cost(),
        "dcr_share": half_share(own, other, made.slice(repeats * size), TARGET),
        "unseen_auc": unseen,
        "halves_auc": [_auc(other, own, schema, k) for k in range(repeats)],
    }


def main(arguments: list[str]) -> None:
    """Run what is missing from the results file."""
    reader = parser("rare", __doc__)
    reader.add_argument("--seed", action="append", type=int)
    reader.add_argument("--seconds", type=float, default=600)
    reader.add_argument("--workers", type=int, default=1)
    reader.add_argument("--rows", type=int, default=1_000_000)
    reader.add_argument("--repeats", type=int, default=20)
    reader.add_argument("--no-half", action="store_true", help="leave the half models for later")
    options = reader.parse_args(arguments)
    results = Results("rare", options.results)
    for seed in options.seed or seeds(3):
        key = {"seed": seed, "seconds": options.seconds, "workers": options.workers}
        key |= {"repeats": options.repeats}
        whole = {**key, "rows": options.rows}
        if not results.has(**whole):
            results.add({**whole, **run_one(**whole)})
        half = {**key, "model": "half"}
        if not options.no_half and not results.has(**half):
            results.add({**half, **run_half(**key)})
    print(table(results.rows()))


def table(rows: list[Row]) -> str:
    """Return rates and AUCs by seed, whether the bars are kept, and what half models show, as Markdown."""
    halves = [row for row in rows if row.get("model") == "half"]
    whole = _bars([row for row in rows if row.get("model") != "half"])
    return f"{whole}\n\n{_halves(halves)}" if halves else whole


def _halves(rows: Sequence[Row]) -> str:
    lines = []
    for row in rows:
        low, high = row["dcr_share"]["interval"]
        lines.append(
            [
                f"{row['seconds'] / 2:g} s",
                str(row["seed"]),
                f"{np.mean(row['unseen_auc']):.3f}",
                f"{np.mean(row['halves_auc']):.3f}",
                f"{row['dcr_share']['value']:.3f} ({low:.3f} … {high:.3f})",
                "holds" if row["dcr_share"]["value"] <= GUARD["dcr_share"] else "**broken**",
            ]
        )
    header = ["training on half of the frauds", "seed", "AUC of frauds, the other half", "of the halves"]
    return grid([*header, "DCR share (95 % interval)", "guard"], lines)


def _bars(rows: Sequence[Row]) -> str:
    lines = []
    for seconds, own in grouped(rows, lambda row: row["seconds"]).items():
        lines += [_line(f"{seconds:g} s", str(row["seed"]), [row]) for row in own]
        if len(own) > 1:
            lines.append(_line(f"{seconds:g} s", "all", own))
    header = ["training", "seed", "rate %", "relative error %", "AUC of frauds", "AUC of normals"]
    return grid(
        [*header, "difference (95 % interval)", "rate within 10 %", "frauds no easier to tell"], lines
    )


def _line(budget: str, seed: str, own: Sequence[Row]) -> list[str]:
    """Return one line; the interval is over the repeats of one model, or over the means of several models."""
    rate = float(np.mean([row["rate"] for row in own]))
    error = rate / own[0]["true_rate"] - 1.0
    frauds, normals = (np.array([row["auc"][name] for row in own]) for name in ("frauds", "normals"))
    gaps = frauds - normals
    low, high = interval(gaps.mean(axis=1) if len(own) > 1 else gaps[0])
    return [
        budget,
        seed,
        f"{100 * rate:.4f} ({100 * own[0]['true_rate']:.4f})",
        f"{100 * error:+.1f}",
        f"{frauds.mean():.3f}",
        f"{normals.mean():.3f}",
        f"{gaps.mean():+.3f} ({low:+.3f} … {high:+.3f})",
        "pass" if abs(error) <= MOST_OFF else "miss",
        "pass" if low <= 0.0 else "miss",
    ]


def interval(values: np.ndarray) -> tuple[float, float]:
    """Return Student's 95 % interval of the mean; the mean twice where there is one value."""
    from scipy.stats import t

    if values.size < 2:
        return float(values.mean()), float(values.mean())
    half = t.ppf(0.975, values.size - 1) * values.std(ddof=1) / np.sqrt(values.size)
    return float(values.mean() - half), float(values.mean() + half)
