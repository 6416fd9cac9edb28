"""What a front asks of the replicas that make rows, and what it may rely on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from fingan.generator import BLOCK
from fingan.types import Json

SMALL_ROWS = BLOCK
"""Calls of at most so many rows are made together."""

MOST_TOGETHER = 64
"""Calls that a replica makes together."""


@dataclass(frozen=True)
class RowsCall:
    """Rows first … last − 1 of a sample, as bytes of a format.

    A pure function of its fields and the registry: any replica gives the same bytes, so a call
    that was lost with its replica is simply made again.

    Attributes:
        model: `name:version`.
        digest: of the version's content.
        first, last: row numbers.
        seed: of the sample.
        where: column → value that every row shall have.
        columns: the columns wanted, in order; None for all.
        candidates: rows generated for each one kept; None for the configured number.
        form: `arrow`, `csv`, `ndjson` or `json`.
    """

    model: str
    digest: str
    first: int
    last: int
    seed: int = 0
    where: Mapping[str, Any] | None = None
    columns: tuple[str, ...] | None = None
    candidates: int | None = None
    form: str = "arrow"


class Backend(Protocol):
    """The replicas, as a front sees them.

    Every method raises a `Refused` or another `FinganError` for what cannot be done.
    """

    async def prepare(self, model: str) -> Json:
        """Load a version and return its description.

        Raises:
            BundleError: it is damaged, or does not replay its stored sample.
        """

    async def marginals(self, model: str) -> Json:
        """Return the distribution of every column of the training table."""

    async def check(self, call: RowsCall) -> Json:
        """Check columns, condition and candidates of a call.

        Returns:
            Its `schema` and `candidates`, and `bytes`: of a row in each format, on average.
        """

    async def rows(self, call: RowsCall) -> bytes:
        """Return the rows of a call."""

    async def probe(self, model: str) -> int:
        """Check that every version in memory still makes rows; load a model where there is none.

        Raises:
            BundleError: one does not.
        """
