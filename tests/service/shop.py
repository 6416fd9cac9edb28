"""A registry with a catalogue before it, and ways to change what it holds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from fingan.errors import FinganError
from fingan.registry import Registry
from fingan.service.calls import RowsCall
from fingan.service.catalogue import Catalogue
from fingan.service.identity import ANYBODY, Caller
from fingan.service.problems import Refused
from fingan.types import Json
from tests.registry.helpers import make_bundle

REFRESH = 5.0


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Loader:
    """A backend that verifies every byte of what it loads.

    Attributes:
        loaded: what was asked for, in order.
        failing: is raised instead, while there is one.
        open: loading goes on while it is set.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.loaded: list[str] = []
        self.failing: FinganError | None = None
        self.open = asyncio.Event()
        self.open.set()

    async def prepare(self, model: str) -> Json:
        self.loaded.append(model)
        await self.open.wait()
        if self.failing is not None:
            raise self.failing
        return {"digest": (await asyncio.to_thread(self._registry.verify, model)).digest, "model": model}

    async def marginals(self, model: str) -> Json:
        raise NotImplementedError

    async def check(self, call: RowsCall) -> Json:
        raise NotImplementedError

    async def rows(self, call: RowsCall) -> bytes:
        raise NotImplementedError


class Shop:
    """A registry with a catalogue before it, and ways to change what it holds."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder, self.root = folder, folder / "registry"
        self.registry, self.clock = Registry(self.root), Clock()
        self.backend = Loader(self.registry)
        self.told: list[tuple[str, int]] = []
        self.catalogue = Catalogue(
            self.registry,
            self.backend,
            refresh=REFRESH,
            clock=self.clock,
            serving=lambda *change: self.told.append(change),
            **options,
        )

    def publish(self, name: str = "tiny") -> int:
        number = len(list(self.folder.glob("bundle-*")))
        return self.registry.publish(name, make_bundle(self.folder / f"bundle-{number}", seed=number))

    def damage(self, version: int, file: str = "generator.safetensors", name: str = "tiny") -> bytes:
        """Change a file of a version; return what it held."""
        path = self.root / name / str(version) / file
        content = path.read_bytes()
        path.write_bytes(content[:-2] + b"\0\0")
        return content

    async def serves(self, reference: str = "tiny", caller: Caller = ANYBODY) -> str:
        return str((await self.catalogue.version(reference, caller)).ref)

    async def refreshed(self, reference: str = "tiny") -> str:
        """Return what is served after the registry was looked at again."""
        self.clock.now += REFRESH
        await self.serves(reference)
        await self.looked()
        return await self.serves(reference)

    async def looked(self) -> None:
        """Wait for the looks that are under way."""
        own = asyncio.current_task()
        await asyncio.gather(*(task for task in asyncio.all_tasks() if task is not own))

    async def refused(self, asked: Awaitable[Any]) -> Refused:
        with pytest.raises(Refused) as caught:
            await asked
        assert str(self.folder) not in caught.value.detail
        return caught.value

    async def problem(self, reference: str = "tiny") -> str | None:
        found = await self.catalogue.problem(reference, ANYBODY)
        assert found is None or str(self.folder) not in found
        return found


def run(test: Callable[[Shop], Coroutine[Any, Any, None]], folder: Path, **options: Any) -> None:
    """Run a test; a shop's locks belong to the loop that it is made in."""

    async def inside() -> None:
        complaints: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        async with asyncio.timeout(10.0):
            await test(Shop(folder, **options))
        assert complaints == []

    asyncio.run(inside())
