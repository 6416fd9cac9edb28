"""Which version answers for a name: looked up in the registry again and again, switched when it is sound.

`latest` and other aliases move. A front goes on with the version it has until a replica has loaded
the new one and replayed its stored sample; a damaged version is reported and never served.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from fingan.errors import BundleError, ConfigError, FinganError, NotFound, StorageError
from fingan.registry import LATEST, Ref, Registry
from fingan.registry.names import split_reference
from fingan.service.calls import Backend
from fingan.service.identity import Caller
from fingan.service.problems import Refused
from fingan.types import Json

LISTED_AT_ONCE = 8
"""Models of a listing that are read at a time: on an object store each takes several round trips."""

Value = TypeVar("Value")
_RETRY_SECONDS = 10
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Version:
    """A version that is served.

    Attributes:
        ref: which.
        description: what a replica told when it had loaded it.
    """

    ref: Ref
    description: Json

    @property
    def digest(self) -> str:
        """SHA-256 that names the bundle's content."""
        return str(self.description["digest"])


@dataclass
class _Name:
    """What is known of one reference, such as `loans:latest`."""

    version: Version | None = None
    problem: str | None = None
    looked: float = float("-inf")
    refreshing: asyncio.Task[None] | None = None
    # By version: the digest in its manifest, for who deletes a model's folder by hand frees its numbers.
    broken: dict[int, str | None] = field(default_factory=dict)


class Catalogue:
    """The models of a registry, as one front serves them.

    Args:
        registry: where they lie.
        backend: loads them.
        only: the only models served; None for all.
        refresh: seconds between two looks at the registry.
        clock: seconds, never going back.
        serving: is told which version answers for a reference, when that changes.
    """

    def __init__(
        self,
        registry: Registry,
        backend: Backend,
        only: Collection[str] | None = None,
        refresh: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
        serving: Callable[[str, int], None] = lambda reference, version: None,
    ) -> None:
        self._serving = serving
        self._registry, self._backend, self._refresh, self._clock = registry, backend, refresh, clock
        self._only = None if only is None else frozenset(only)
        self._names: dict[str, _Name] = {}
        self._most_names = 10_000
        # Of its own: a long listing must not hold up what other requests read.
        self._listing = ThreadPoolExecutor(LISTED_AT_ONCE, thread_name_prefix="listing")

    async def version(self, reference: str, caller: Caller) -> Version:
        """Return the version that answers for a reference.

        Args:
            reference: `name`, `name:version` or `name:alias`.
            caller: for whom; models that the caller may not use are not there.

        Raises:
            Refused: 404 no such model or version, 503 none that is sound.
        """
        name, selector = self._split(reference, caller)
        key = f"{name}:{selector}"
        known = self._names.get(key)
        if known is None:
            known = _Name()
            await self._look(name, selector, known)
            if len(self._names) < self._most_names:
                known = self._names.setdefault(key, known)
        elif self._clock() - known.looked >= self._refresh:
            if known.version is None:
                await self._look(name, selector, known)
            else:
                self._look_later(name, selector, known)
        if known.version is None:
            raise Refused(503, "model_broken", known.problem or "it cannot be loaded now", _RETRY_SECONDS)
        return known.version

    async def problem(self, reference: str, caller: Caller) -> str | None:
        """Return why the newest version is not the one that answers; None where it is."""
        known = self._names.get(":".join(self._split(reference, caller)))
        return None if known is None else known.problem

    async def listing(self, caller: Caller) -> list[Json]:
        """Return what `GET /v1/models` tells, in alphabetical order."""
        names = [name for name in await _told(self._registry.names) if self._served(name, caller)]
        loop = asyncio.get_running_loop()
        found = await asyncio.gather(
            *(loop.run_in_executor(self._listing, self._read, name) for name in names)
        )
        return [self._summary(summary) for summary in found]

    async def aliases(self, name: str) -> dict[str, int]:
        """Return the aliases of a model that can be read."""
        return await _told(self._registry.aliases, name)

    def ready(self) -> list[str]:
        """Return the references that have a version."""
        return sorted(key for key, known in self._names.items() if known.version is not None)

    def _summary(self, read: Json) -> Json:
        """Return what was read of a model, with the problem that the front itself has with it."""
        known = self._names.get(f"{read['name']}:{LATEST}")
        return read if known is None or known.problem is None else {**read, "problem": known.problem}

    def _read(self, name: str) -> Json:
        """Read what the listing tells of a model; its errors are told without their places."""
        summary: Json = {"name": name, "latest": None, "versions": [], "aliases": {}, "problem": None}
        try:
            summary["versions"] = self._registry.versions(name)
            shown = self._registry.show(name)
            summary |= {
                "latest": shown["version"],
                "kind": shown["manifest"]["fields"].get("kind"),
                "created": shown["manifest"]["created"],
                "aliases": self._registry.aliases(name),
                "unreadable": {alias: _torn(alias) for alias in shown["unreadable"]},
            }
        except StorageError:
            summary["problem"] = "the registry cannot be read now; ask again"
        except FinganError:
            summary |= self._unshown(name)
        return summary

    def _unshown(self, name: str) -> Json:
        """Return what can be told of a model that the registry cannot show."""
        try:
            latest = self._registry.resolve(name)
        except FinganError:
            return {"problem": "no version of this model is sound"}
        problem = "the metrics of this model, or its folder of aliases, are damaged; publish it again"
        return {"latest": latest.version, "problem": problem}

    def _served(self, name: str, caller: Caller) -> bool:
        return caller.may_use(name) and (self._only is None or name in self._only)

    def _split(self, reference: str, caller: Caller) -> tuple[str, str]:
        try:
            name, selector = split_reference(reference)
        except ConfigError as error:
            raise Refused(422, "invalid_name", str(error)) from error
        if not self._served(name, caller):
            raise _unknown(name, selector)
        return name, selector

    def _look_later(self, name: str, selector: str, known: _Name) -> None:
        if known.refreshing is None or known.refreshing.done():
            known.looked = self._clock()
            known.refreshing = asyncio.create_task(self._look_quietly(name, selector, known))

    async def _look_quietly(self, name: str, selector: str, known: _Name) -> None:
        """Look, and go on with the version that there is whatever comes of it."""
        try:
            await self._look(name, selector, known)
        except Refused as error:
            known.problem = error.detail
        except Exception as error:
            log.error("cannot look for %s:%s", name, selector, exc_info=error)

    async def _look(self, name: str, selector: str, known: _Name) -> None:
        """Find the version that a reference means now, and switch to it if it is sound.

        Raises:
            Refused: 404, there is no such model, version or alias.
        """
        known.looked = self._clock()
        try:
            target = await asyncio.to_thread(self._registry.resolve, f"{name}:{selector}")
        except NotFound as error:
            # If it was there before: the next request finds out too, and says so.
            self._names.pop(f"{name}:{selector}", None)
            raise _unknown(name, selector) from error
        except StorageError:
            known.problem = (
                f"the registry cannot tell now which version {selector!r} means; it is asked again"
            )
            return
        except FinganError:
            of_version = selector == LATEST or selector.isdecimal()
            unsound = f"no version of {name!r} that {selector!r} could mean is sound"
            known.problem = unsound if of_version else _torn(selector)
            return
        await self._switch(target, known)
        if known.version is None and selector == LATEST and target.version in known.broken:
            await self._fall_back(target, known)
        if known.version is not None:
            self._serving(f"{name}:{selector}", known.version.ref.version)

    async def _fall_back(self, target: Ref, known: _Name) -> None:
        """Serve the newest sound version before a damaged one; the problem told stays that of the latter."""
        problem = known.problem
        for number in reversed(await _told(self._registry.versions, target.name)):
            if number < target.version:
                await self._try(older := Ref(target.name, number), await self._digest(older), known)
                if known.version is not None or number not in known.broken:
                    break
        known.problem = problem

    async def _switch(self, target: Ref, known: _Name) -> None:
        digest, own = await self._digest(target), known.version
        if own is not None and own.ref == target and digest in (None, own.digest):
            unread = f"version {target.version} cannot be read any more; it is served from memory"
            known.problem = unread if digest is None else None
        elif own is None or target.version not in known.broken or known.broken[target.version] != digest:
            known.problem = None
            await self._try(target, digest, known)

    async def _try(self, target: Ref, digest: str | None, known: _Name) -> None:
        try:
            description = await self._backend.prepare(str(target))
        except StorageError:
            # Not remembered: its content may be sound, and the next look tries it again.
            known.problem = f"version {target.version} cannot be read now; it is tried again"
        except BundleError:
            known.broken[target.version] = digest
            known.problem = f"version {target.version} is damaged and is not served; publish it again"
        except FinganError as error:
            known.problem = f"version {target.version} cannot be loaded: {type(error).__name__}"
        else:
            known.version = Version(target, description)

    async def _digest(self, ref: Ref) -> str | None:
        """Return the digest in a version's manifest; None where that cannot be read."""
        try:
            shown = await asyncio.to_thread(self._registry.show, ref)
        except FinganError:
            return None
        return str(shown["manifest"]["digest"])


async def _told(function: Callable[..., Value], *arguments: Any) -> Value:
    """Call a function of the registry in a thread; its errors name paths, ours do not."""
    try:
        return await asyncio.to_thread(function, *arguments)
    except NotFound as error:
        raise Refused(404, "not_found", "there is no such model, version or alias") from error
    except FinganError as error:
        raise Refused(503, "registry", "the registry cannot be read now", _RETRY_SECONDS) from error


def _torn(alias: str) -> str:
    return f"the alias {alias!r} cannot be read; set it again"


def _unknown(name: str, selector: str = LATEST) -> Refused:
    what = f"model {name!r}" if selector == LATEST else f"version or alias {selector!r} of a model {name!r}"
    return Refused(404, "not_found", f"there is no {what}; GET /v1/models lists what there is")
