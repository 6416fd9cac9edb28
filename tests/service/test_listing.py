"""What a caller is told that there is: names, rights, and the list of models."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from fingan.service import catalogue
from fingan.service.identity import ANYBODY, Caller
from tests.service.shop import Shop, run


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
        for alias in ("best", "champion"):
            shop.registry.set_alias("tiny", alias, 1)
        (shop.root / "tiny" / "aliases" / "champion").write_bytes(b"one")
        (listed,) = await shop.catalogue.listing(ANYBODY)
        assert (listed["latest"], listed["versions"], listed["aliases"]) == (1, [1], {"best": 1})
        assert listed["unreadable"] == {"champion": "the alias 'champion' cannot be read; set it again"}
        assert (listed["kind"], listed["problem"]) == ("table", None)

    run(test, tmp_path)


def test_torn_metrics_are_told_and_the_version_is(tmp_path: Path) -> None:
    async def test(shop: Shop) -> None:
        shop.publish()
        shop.damage(1, "metrics.json")
        (listed,) = await shop.catalogue.listing(ANYBODY)
        assert (listed["latest"], listed["versions"]) == (1, [1])
        assert "metrics" in listed["problem"]

    run(test, tmp_path)


def test_models_are_read_several_at_a_time_and_listed_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "LISTED_AT_ONCE", 3)

    async def test(shop: Shop) -> None:
        names = [f"model-{letter}" for letter in "abcdef"]
        for name in names:
            shop.publish(name)
        show, together, lock = shop.registry.show, threading.Barrier(3), threading.Lock()
        reading = most = 0

        def slow(name: str) -> Any:
            nonlocal reading, most
            with lock:
                reading += 1
                most = max(most, reading)
            # Nobody comes past here alone.
            together.wait(5.0)
            with lock:
                reading -= 1
            return show(name)

        shop.registry.show = slow  # type: ignore[method-assign, assignment]
        assert [entry["name"] for entry in await shop.catalogue.listing(ANYBODY)] == names
        assert most == 3

    run(test, tmp_path)


def test_a_registry_that_cannot_be_listed_is_told_without_its_place(tmp_path: Path) -> None:
    async def test(shop: Shop) -> None:
        shop.root.write_text("this is no folder")
        assert (await shop.refused(shop.catalogue.listing(ANYBODY))).status == 503
        assert (await shop.refused(shop.serves())).status == 503

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
