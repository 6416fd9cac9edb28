"""Which version answers: aliases move, versions break and vanish, and what is sound goes on."""

from __future__ import annotations

import asyncio
import io
import logging
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from fingan.errors import BundleError, StorageError
from fingan.registry import local
from fingan.service.identity import ANYBODY
from fingan.service.problems import Refused
from tests.service.shop import REFRESH, Shop, run


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


@pytest.mark.parametrize("file", ["generator.safetensors", "manifest.json"])
def test_storage_that_fails_once_while_a_new_version_is_loaded_does_not_block_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    failing = True
    open_regular = local.open_regular

    def flaky(path: Path) -> io.BufferedReader:
        if failing and path.parts[-2:] == ("2", file):
            raise OSError(5, "Input/output error", str(path))
        return open_regular(path)

    async def test(shop: Shop) -> None:
        nonlocal failing
        monkeypatch.setattr(local, "open_regular", flaky)
        shop.publish()
        assert await shop.serves() == "tiny:1"
        shop.publish()
        assert await shop.refreshed() == "tiny:1"
        assert "again" in str(await shop.problem())
        assert "damaged" not in str(await shop.problem())
        failing = False
        assert await shop.refreshed() == "tiny:2"
        assert await shop.problem() is None

    run(test, tmp_path)


def test_an_older_version_does_not_pass_for_the_newest_while_storage_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(shop: Shop) -> None:
        for _ in range(2):
            shop.publish()
        assert await shop.serves() == "tiny:2"
        open_regular = local.open_regular

        def failing(path: Path) -> io.BufferedReader:
            if path.parts[-2] == "2":
                raise OSError(116, "Stale file handle", str(path))
            return open_regular(path)

        monkeypatch.setattr(local, "open_regular", failing)
        assert await shop.refreshed() == "tiny:2"
        with pytest.raises(StorageError, match=r"tiny/2: manifest\.json cannot be read: Stale file handle"):
            shop.registry.resolve("tiny")

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
        problem = await shop.problem("tiny:champion")
        assert problem == "the alias 'champion' cannot be read; set it again"
        assert await shop.refreshed() == "tiny:1"
        assert await shop.refreshed("tiny:other") == "tiny:1"
        shop.publish()
        assert await shop.refreshed() == "tiny:2"
        assert await shop.problem() is None
        assert await shop.catalogue.aliases("tiny") == {"other": 1}

    run(test, tmp_path)


def test_versions_beside_a_torn_alias_are_served_by_number(tmp_path: Path) -> None:
    async def test(shop: Shop) -> None:
        for _ in range(2):
            shop.publish()
        shop.registry.set_alias("tiny", "champion", 1)
        (shop.root / "tiny" / "aliases" / "champion").write_bytes(b"")
        for reference, wanted in (("tiny", "tiny:2"), ("tiny:1", "tiny:1"), ("tiny:2", "tiny:2")):
            assert await shop.serves(reference) == wanted
            assert await shop.refreshed(reference) == wanted
            assert await shop.problem(reference) is None
        error = await shop.refused(shop.serves("tiny:champion"))
        assert (error.status, error.detail) == (503, "the alias 'champion' cannot be read; set it again")

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
        shutil.rmtree(shop.root / "tiny")  # by hand: the registry itself gives no number twice
        shop.publish()
        assert await shop.refreshed() == "tiny:1"
        assert (await shop.catalogue.version("tiny", ANYBODY)).digest != old
        shop.publish()
        assert await shop.refreshed() == "tiny:2", "another version 2 was damaged, not this one"

    run(test, tmp_path)


def test_many_who_ask_at_once_get_the_same(tmp_path: Path) -> None:
    async def test(shop: Shop) -> None:
        shop.publish()
        found = await asyncio.gather(*(shop.serves() for _ in range(50)))
        assert set(found) == {"tiny:1"}
        assert len(shop.catalogue.ready()) == 1

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
