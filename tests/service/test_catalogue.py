"""Which version answers: aliases move, versions break and vanish, and what is sound goes on."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from fingan.errors import BundleError, FinganError
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


def test_names_versions_and_aliases_are_answered(tmp_path: Path) -> None:
    async def test(shop: Shop) -> None:
        for _ in range(2):
            shop.publish()
        shop.registry.set_alias("tiny", "champion", 1)
        wanted = {"tiny": 2, "tiny:latest": 2, "tiny:1": 1, "tiny:2": 2, "tiny:champion": 1}
        for reference, version in wanted.items():
            found = await shop.catalogue.version(reference, ANYBODY)
            assert (found.ref.name, found.ref.version) == ("tiny", version)
            assert found.digest == shop.registry.verify(f"tiny:{version}").digest
            assert found.description["model"] == f"tiny:{version}"
        assert shop.catalogue.ready() == ["tiny:1", "tiny:2", "tiny:champion", "tiny:latest"]
        assert await shop.catalogue.aliases("tiny") == {"champion": 1}

    run(test, tmp_path)


def test_what_is_known_is_not_asked_for_again(tmp_path: Path) -> None:
    async def test(shop: Shop) -> None:
        shop.publish()
        for _ in range(5):
            await shop.serves()
            assert await shop.refreshed() == "tiny:1"
        assert shop.backend.loaded == ["tiny:1"]
        assert shop.told[0] == ("tiny:latest", 1)

    run(test, tmp_path)


def test_a_new_version_is_served_after_a_while_and_nobody_waits_for_it(tmp_path: Path) -> None:
    async def test(shop: Shop) -> None:
        shop.publish()
        assert await shop.serves() == "tiny:1"
        shop.publish()
        assert await shop.serves() == "tiny:1"
        shop.clock.now += REFRESH
        shop.backend.open.clear()
        for _ in range(3):
            assert await asyncio.wait_for(shop.serves(), 0.5) == "tiny:1"
        while len(shop.backend.loaded) < 2:
            await asyncio.sleep(0.001)
        shop.clock.now += REFRESH
        assert await asyncio.wait_for(shop.serves(), 0.5) == "tiny:1"
        shop.backend.open.set()
        await shop.looked()
        assert await shop.serves() == "tiny:2"
        assert shop.backend.loaded == ["tiny:1", "tiny:2"]
        assert shop.told[-1] == ("tiny:latest", 2)

    run(test, tmp_path)


def test_a_moved_alias_is_followed(tmp_path: Path) -> None:
    async def test(shop: Shop) -> None:
        for _ in range(2):
            shop.publish()
        shop.registry.set_alias("tiny", "champion", 1)
        assert await shop.serves("tiny:champion") == "tiny:1"
        shop.registry.set_alias("tiny", "champion", 2)
        assert await shop.refreshed("tiny:champion") == "tiny:2"
        shop.registry.set_alias("tiny", "champion", 1)
        assert await shop.refreshed("tiny:champion") == "tiny:1"

    run(test, tmp_path)


def test_a_damaged_new_version_never_answers_and_is_told(tmp_path: Path) -> None:
    async def test(shop: Shop) -> None:
        shop.publish()
        await shop.serves()
        shop.publish()
        shop.damage(2)
        for _ in range(3):
            assert await shop.refreshed() == "tiny:1"
            assert await shop.problem() == "version 2 is damaged and is not served; publish it again"
        assert shop.backend.loaded == ["tiny:1", "tiny:2"], "what is known to be damaged is not read again"
        (listed,) = await shop.catalogue.listing(ANYBODY)
        assert "version 2 is damaged" in listed["problem"]
        shop.publish()
        assert await shop.refreshed() == "tiny:3"
        assert await shop.problem() is None

    run(test, tmp_path)


def test_a_version_that_cannot_be_loaded_now_is_tried_again(tmp_path: Path) -> None:
    async def test(shop: Shop) -> None:
        shop.publish()
        await shop.serves()
        shop.publish()
        shop.backend.failing = Refused(503, "replica_lost", f"at {shop.root}")
        assert await shop.refreshed() == "tiny:1"
        assert await shop.problem() == "version 2 cannot be loaded: Refused"
        shop.backend.failing = None
        assert await shop.refreshed() == "tiny:2"
        assert await shop.problem() is None

    run(test, tmp_path)


def test_of_versions_never_loaded_the_newest_sound_one_answers(tmp_path: Path) -> None:
    async def test(shop: Shop) -> None:
        for _ in range(4):
            shop.publish()
        for version in (3, 4):
            shop.damage(version)
        assert await shop.serves() == "tiny:2"
        assert "version 4 is damaged" in str(await shop.problem())
        assert await shop.refreshed() == "tiny:2"
        assert "version 4 is damaged" in str(await shop.problem())

    run(test, tmp_path)


def test_an_alias_to_a_damaged_version_does_not_mean_another(tmp_path: Path) -> None:
    async def test(shop: Shop) -> None:
        for _ in range(2):
            shop.publish()
        shop.damage(2)
        shop.registry.set_alias("tiny", "champion", 2)
        for reference in ("tiny:2", "tiny:champion"):
            error = await shop.refused(shop.serves(reference))
            assert (error.status, error.code) == (503, "model_broken")
            assert "version 2 is damaged" in error.detail
            assert error.retry_after is not None

    run(test, tmp_path)


def test_a_damaged_model_is_not_read_anew_for_every_request(tmp_path: Path) -> None:
    async def test(shop: Shop) -> None:
        shop.publish()
        content = shop.damage(1)
        for _ in range(5):
            assert (await shop.refused(shop.serves())).status == 503
        assert shop.backend.loaded == ["tiny:1"]
        (shop.root / "tiny" / "1" / "generator.safetensors").write_bytes(content)
        shop.clock.now += REFRESH
        assert await shop.serves() == "tiny:1"
        assert await shop.problem() is None

    run(test, tmp_path)


def test_what_is_in_memory_goes_on_when_its_files_break(tmp_path: Path) -> None:
    async def test(shop: Shop) -> None:
        shop.publish()
        shop.registry.set_alias("tiny", "champion", 1)
        references = ["tiny", "tiny:1", "tiny:champion"]
        for reference in references:
            await shop.serves(reference)
        shop.damage(1, "manifest.json")
        for reference in references:
            for _ in range(2):
                assert await shop.refreshed(reference) == "tiny:1"
                assert await shop.problem(reference) is not None

    run(test, tmp_path)


def test_a_torn_alias_harms_nothing_else(tmp_path: Path) -> None:
    async def test(shop: Shop) -> None:
        shop.publish()
        shop.registry.set_alias("tiny", "champion", 1)
        shop.registry.set_alias("tiny", "other", 1)
        assert await shop.serves("tiny:champion") == await shop.serves() == "tiny:1"
        (shop.root / "tiny" / "aliases" / "champion").write_bytes(b"one")
        assert await shop.refreshed("tiny:champion") == "tiny:1"
        assert await shop.problem("tiny:champion") is not None
        assert await shop.refreshed() == "tiny:1"
        shop.publish()
        assert await shop.refreshed() == "tiny:2"
        assert (await shop.refused(shop.catalogue.aliases("tiny"))).status == 503

    run(test, tmp_path)


def test_a_registry_that_cannot_be_read_for_a_while_is_not_noticed(tmp_path: Path) -> None:
    async def test(shop: Shop) -> None:
        shop.publish()
        await shop.serves()
        manifest = shop.root / "tiny" / "1" / "manifest.json"
        manifest.rename(manifest.with_name("away"))
        manifest.mkdir()
        assert await shop.refreshed() == "tiny:1"
        assert await shop.problem() is not None
        assert (await shop.refused(shop.serves("tiny:1"))).status == 503
        manifest.rmdir()
        manifest.with_name("away").rename(manifest)
        assert await shop.refreshed() == "tiny:1"
        assert await shop.problem() is None
        assert shop.backend.loaded[0] == "tiny:1"

    run(test, tmp_path)


def test_a_removed_model_is_gone_after_a_while(tmp_path: Path) -> None:
    async def test(shop: Shop) -> None:
        shop.publish()
        shop.publish()
        for reference in ("tiny", "tiny:2"):
            assert await shop.serves(reference) == "tiny:2"
        shop.registry.remove("tiny:2")
        assert await shop.refreshed("tiny") == "tiny:1"
        shop.registry.remove("tiny")
        for reference in ("tiny", "tiny:2"):
            error = await shop.refused(shop.refreshed(reference))
            assert (error.status, error.code) == (404, "not_found")
        assert shop.catalogue.ready() == []
        assert await shop.catalogue.listing(ANYBODY) == []

    run(test, tmp_path)


def test_a_damaged_model_that_is_removed_is_not_there(tmp_path: Path) -> None:
    async def test(shop: Shop) -> None:
        shop.publish()
        shop.damage(1)
        assert (await shop.refused(shop.serves())).status == 503
        shop.registry.remove("tiny")
        shop.clock.now += REFRESH
        for _ in range(2):
            assert (await shop.refused(shop.serves())).status == 404

    run(test, tmp_path)


def test_a_model_that_was_published_anew_under_old_numbers_is_taken_for_new(tmp_path: Path) -> None:
    async def test(shop: Shop) -> None:
        shop.publish()
        old = (await shop.catalogue.version("tiny", ANYBODY)).digest
        shop.publish()
        shop.damage(2)
        assert await shop.refreshed() == "tiny:1"
        shop.registry.remove("tiny")
        shop.publish()
        assert await shop.refreshed() == "tiny:1"
        assert (await shop.catalogue.version("tiny", ANYBODY)).digest != old
        shop.publish()
        assert await shop.refreshed() == "tiny:2", "another version 2 was damaged, not this one"

    run(test, tmp_path)


@pytest.mark.parametrize("reference", ["tony", "tiny:7", "tiny:champion", "tiny:999999999"])
def test_what_there_is_not_is_404(tmp_path: Path, reference: str) -> None:
    async def test(shop: Shop) -> None:
        assert (await shop.refused(shop.serves(reference))).status == 404
        shop.publish()
        error = await shop.refused(shop.serves(reference))
        assert (error.status, error.code) == (404, "not_found")
        assert error.detail.startswith("there is no")

    run(test, tmp_path)


NAMES = [
    "",
    ":",
    "tiny:",
    "TINY",
    "../tiny",
    "tiny:../1",
    "tiny:0",
    "tiny:-1",
    "tiny:01",
    "tiny:1:2",
    "tiny:latest:1",
    "a/b",
    "a\0b",
    ".hidden",
    "-x",
    "x" * 65,
    "tiny:9999999999",
    "tïny",
    "tiny\n",
]


@pytest.mark.parametrize("reference", NAMES)
def test_what_is_no_name_is_422(tmp_path: Path, reference: str) -> None:
    async def test(shop: Shop) -> None:
        shop.publish()
        assert (await shop.refused(shop.serves(reference))).status == 422
        assert (await shop.refused(shop.problem(reference))).status == 422

    run(test, tmp_path)


@pytest.mark.parametrize("suffix", ["", ":latest", ":1", ":9", ":champion"])
@pytest.mark.parametrize("how", ["rights", "only"])
def test_a_model_that_is_not_for_a_caller_cannot_be_told_from_none(
    tmp_path: Path, suffix: str, how: str
) -> None:
    caller = Caller("other", frozenset({"loans"})) if how == "rights" else ANYBODY

    async def test(shop: Shop) -> None:
        shop.publish("tiny")
        shop.publish("loans")
        shop.registry.set_alias("tiny", "champion", 1)
        hidden = await shop.refused(shop.serves(f"tiny{suffix}", caller))
        allowed = Caller("other", frozenset({"loans", "tinx"})) if how == "rights" else caller
        missing = await shop.refused(shop.serves(f"tinx{suffix}", allowed))
        assert (hidden.status, hidden.code) == (missing.status, missing.code) == (404, "not_found")
        assert hidden.detail.replace("tiny", "tinx") == missing.detail
        assert await shop.serves("loans", caller) == "loans:1"
        assert [entry["name"] for entry in await shop.catalogue.listing(caller)] == ["loans"]
        assert shop.backend.loaded == ["loans:1"]

    run(test, tmp_path, only=["loans", "tinx"] if how == "only" else None)


def test_rights_hold_whoever_asked_before(tmp_path: Path) -> None:
    async def test(shop: Shop) -> None:
        shop.publish()
        assert await shop.serves() == "tiny:1"
        nobody = Caller("nobody", frozenset())
        assert (await shop.refused(shop.serves("tiny", nobody))).status == 404
        assert (await shop.refused(shop.catalogue.problem("tiny", nobody))).status == 404

    run(test, tmp_path)


def test_the_listing_tells_versions_aliases_and_damage(tmp_path: Path) -> None:
    async def test(shop: Shop) -> None:
        assert await shop.catalogue.listing(ANYBODY) == []
        for _ in range(2):
            shop.publish("loans")
        shop.publish("broken")
        shop.damage(1, "manifest.json", "broken")
        shop.registry.set_alias("loans", "champion", 1)
        broken, loans = await shop.catalogue.listing(ANYBODY)
        assert (loans["name"], loans["latest"], loans["versions"]) == ("loans", 2, [1, 2])
        assert (loans["aliases"], loans["kind"], loans["problem"]) == ({"champion": 1}, "table", None)
        assert loans["created"].startswith("20")
        assert (broken["latest"], broken["versions"]) == (None, [1])
        assert broken["problem"] == "no version of this model is sound"

    run(test, tmp_path)


def test_a_torn_alias_is_not_called_a_damaged_model(tmp_path: Path) -> None:
    async def test(shop: Shop) -> None:
        shop.publish()
        shop.registry.set_alias("tiny", "champion", 1)
        (shop.root / "tiny" / "aliases" / "champion").write_bytes(b"one")
        (listed,) = await shop.catalogue.listing(ANYBODY)
        assert (listed["latest"], listed["versions"], listed["aliases"]) == (1, [1], {})
        assert "alias" in listed["problem"]

    run(test, tmp_path)


def test_a_registry_that_cannot_be_listed_is_told_without_its_place(tmp_path: Path) -> None:
    async def test(shop: Shop) -> None:
        shop.root.write_text("this is no folder")
        assert (await shop.refused(shop.catalogue.listing(ANYBODY))).status == 503
        assert (await shop.refused(shop.serves())).status == 503

    run(test, tmp_path)


def test_many_who_ask_at_once_get_the_same(tmp_path: Path) -> None:
    async def test(shop: Shop) -> None:
        shop.publish()
        found = await asyncio.gather(*(shop.serves() for _ in range(50)))
        assert set(found) == {"tiny:1"}
        assert len(shop.catalogue.ready()) == 1

    run(test, tmp_path)


def test_names_that_are_asked_for_do_not_pile_up(tmp_path: Path) -> None:
    async def test(shop: Shop) -> None:
        shop.publish()
        for number in range(50):
            await shop.refused(shop.serves(f"tiny:a{number}"))
            await shop.refused(shop.serves(f"model-{number}"))
        assert shop.catalogue.ready() == []
        assert len(shop.catalogue._names) == 0

    run(test, tmp_path)


def test_the_loop_is_not_held_up_by_a_slow_registry(tmp_path: Path) -> None:
    async def test(shop: Shop) -> None:
        shop.publish()
        go, resolve = threading.Event(), shop.registry.resolve

        def slow(reference: str) -> Any:
            assert go.wait(5.0)
            return resolve(reference)

        shop.registry.resolve = slow  # type: ignore[method-assign]
        asked = asyncio.create_task(shop.serves())
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert not asked.done()
        go.set()
        assert await asked == "tiny:1"

    run(test, tmp_path)


def test_an_unexpected_error_of_a_look_is_logged_and_the_version_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(shop: Shop) -> None:
        shop.publish()
        await shop.serves()
        resolve = shop.registry.resolve

        def lost(reference: str) -> Any:
            raise OSError("the network is down")

        shop.registry.resolve = lost  # type: ignore[method-assign]
        with caplog.at_level(logging.ERROR):
            assert await shop.refreshed() == "tiny:1"
        assert "tiny" in caplog.text
        shop.registry.resolve = resolve  # type: ignore[method-assign]
        assert await shop.refreshed() == "tiny:1"

    run(test, tmp_path)


def test_a_replicas_bundle_error_names_no_path(tmp_path: Path) -> None:
    async def test(shop: Shop) -> None:
        shop.publish()
        shop.backend.failing = BundleError(f"{shop.root}/tiny/1 does not replay")
        assert (await shop.refused(shop.serves())).status == 503
        assert "version 1 is damaged" in str(await shop.problem())

    run(test, tmp_path)
