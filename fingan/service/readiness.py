"""Whether a service can make rows: it makes a few, now and then."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from fingan.errors import FinganError
from fingan.service.calls import Backend
from fingan.service.catalogue import Catalogue
from fingan.service.identity import ANYBODY

FRESH_SECONDS = 5.0
"""An answer holds for so long, however often it is asked for."""

_TRIED = 3
log = logging.getLogger(__name__)


class Readiness:
    """Looks at most every few seconds, and once for all who ask meanwhile.

    Args:
        catalogue: knows the models.
        backend: makes the rows.
        preload: models that have to be there.
        patience: seconds that a few rows may take.
        wakes: whether rows may be made although nobody asked for any; else a service that has given
            up its idle replicas would start them again for every probe.
        clock: seconds, never going back.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        backend: Backend,
        preload: Sequence[str],
        patience: float,
        wakes: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._catalogue, self._backend, self._preload = catalogue, backend, tuple(preload)
        self._patience, self._wakes, self._clock = patience, wakes, clock
        self._lock = asyncio.Lock()
        self._ready, self._looked = False, float("-inf")

    async def ready(self) -> bool:
        """Tell whether the models to be loaded at the start are there, and rows can be made."""
        there = self._catalogue.ready()
        if any((name if ":" in name else f"{name}:latest") not in there for name in self._preload):
            return False
        async with self._lock:
            if self._clock() - self._looked >= FRESH_SECONDS:
                self._ready = not self._wakes or await self._sampled()
                self._looked = self._clock()
            return self._ready

    async def _sampled(self) -> bool:
        try:
            async with asyncio.timeout(self._patience):
                model = await self._model()
                if model is not None:
                    await self._backend.probe(model)
        except Exception as error:
            log.error("no rows can be made", exc_info=error)
            return False
        return True

    async def _model(self) -> str | None:
        """Return a version that is served; None where there is no model at all."""
        names = self._catalogue.ready()
        if not names:
            names = [one["name"] for one in await self._catalogue.listing(ANYBODY)]
        problem: FinganError | None = None
        for name in names[:_TRIED]:
            try:
                return str((await self._catalogue.version(name, ANYBODY)).ref)
            except FinganError as error:
                problem = error
        if problem is not None:
            raise problem
        return None
