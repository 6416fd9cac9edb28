"""The result of an evaluation: figures, what was left out and why, JSON, HTML, gates."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fingan.errors import ConfigError, DataError, nearest
from fingan.evaluation.gate import Failure, Rules, apply_gates, read_gates
from fingan.evaluation.metric import Metric
from fingan.files import atomic_write_bytes
from fingan.types import Json

VERSION = 1


@dataclass
class Report:
    """Figures of one evaluation.

    Attributes:
        about: rows, columns, target, estimator, seed.
        metrics: every figure measured.
        omitted: every figure left out, with the reason.
        charts: counts behind the charts; no row of any table.
    """

    about: Json
    metrics: list[Metric] = field(default_factory=list)
    omitted: dict[str, str] = field(default_factory=dict)
    charts: Json = field(default_factory=dict)

    def __getitem__(self, name: str) -> Metric:
        """Return the metric called `name`.

        Raises:
            ConfigError: it was left out (with the reason) or does not exist.
        """
        for metric in self.metrics:
            if metric.name == name:
                return metric
        if name in self.omitted:
            raise ConfigError(f"metric {name!r} was not measured: {self.omitted[name]}")
        raise ConfigError(f"unknown metric {name!r}.{nearest(name, [m.name for m in self.metrics])}")

    def values(self) -> dict[str, float]:
        """Return the plain figures by name."""
        return {metric.name: metric.value for metric in self.metrics}

    def gate(self, rules: Rules | str | Path) -> list[Failure]:
        """Return the gates that fail.

        Args:
            rules: `{metric: {"max": x}}` / `{"min": x}`, or the path of a YAML file of them.

        Raises:
            ConfigError: the rules cannot be read or name an unknown metric.
        """
        known = rules if isinstance(rules, Mapping) else read_gates(rules)
        return apply_gates(known, self.metrics, self.omitted)

    def to_dict(self) -> Json:
        """Return plain values that `from_dict` reads back."""
        return {
            "version": VERSION,
            "about": self.about,
            "metrics": [metric.to_dict() for metric in self.metrics],
            "omitted": self.omitted,
            "charts": self.charts,
        }

    @classmethod
    def from_dict(cls, values: Json) -> Report:
        """Read what `to_dict` wrote.

        Raises:
            DataError: not a report of this version.
        """
        if not isinstance(values, dict) or values.get("version") != VERSION:
            raise DataError(f"not an evaluation report of version {VERSION}; write it again with to_json")
        metrics = [Metric.from_dict(metric) for metric in values["metrics"]]
        return cls(values["about"], metrics, values["omitted"], values["charts"])

    def to_json(self, path: str | Path | None = None) -> str:
        """Return the report as JSON, and write it where a path is given.

        Raises:
            DataError: the path cannot be written.
        """
        text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
        return _written(text, path)

    def to_html(self, path: str | Path | None = None, title: str = "Synthetic data report") -> str:
        """Return the report as one self-contained HTML page, and write it where a path is given.

        No script, no network: fonts are the reader's own and charts are inline SVG.

        Args:
            path: file to write.
            title: heading of the page.

        Raises:
            DataError: the path cannot be written.
        """
        from fingan.evaluation.html import render

        return _written(render(self, title), path)


def _written(text: str, path: str | Path | None) -> str:
    if path is not None:
        try:
            atomic_write_bytes(Path(path), text.encode("utf-8"))
        except OSError as error:
            raise DataError(f"cannot write the report {str(path)!r}: {error}") from error
    return text
