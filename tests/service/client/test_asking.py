"""What the client asks for, where, and with which token."""

from __future__ import annotations

import json
from collections import deque
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fingan
from fingan.client import Client, ServiceError, ServiceNotFound
from fingan.errors import ConfigError
from tests.service.client.shop import (
    TOKEN,
    Fault,
    Shop,
)


@pytest.mark.parametrize(
    "wrong", [{"rows": -1}, {"rows": 1.5}, {"rows": "10"}, {"rows": None}, {"seed": -1}, {"offset": 0.5}]
)
def test_numbers_that_are_none_are_refused_here(client: Client, shop: Shop, wrong: dict[str, Any]) -> None:
    wanted: dict[str, Any] = {"model": "tiny", "rows": 10, **wrong}
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        client.table(**wanted)
    assert shop.asked == []


def test_models_cards_and_jobs_are_asked_for_where_they_are(client: Client, shop: Shop) -> None:
    shop.plain = {
        "GET /v1/models": {"models": [{"name": "tiny"}]},
        "GET /v1/models/tiny:champion": {"name": "tiny", "version": 1},
        "GET /v1/models/tiny/card": "# Größe\n".encode(),
        "GET /v1/jobs": {"jobs": [{"id": "a"}]},
        "GET /v1/jobs/a": {"id": "a", "status": "running"},
        "DELETE /v1/jobs/a": {"id": "a", "status": "cancelled"},
    }
    assert client.models() == [{"name": "tiny"}]
    assert client.describe("tiny:champion") == {"name": "tiny", "version": 1}
    assert client.jobs() == [{"id": "a"}]
    assert client.job("a")["status"] == "running"
    assert client.cancel_job("a")["status"] == "cancelled"
    shop.faults = deque([Fault(200, {"content-type": "text/markdown; charset=utf-8"}, "# Größe\n".encode())])
    assert client.card("tiny") == "# Größe\n"


@pytest.mark.parametrize("name", ["a/b", "../jobs", "a?b=c", "a#b", "ä €", "a b", "%2f"])
def test_a_name_stays_one_part_of_the_path(client: Client, shop: Shop, name: str) -> None:
    with pytest.raises(ServiceNotFound):
        client.describe(name)
    assert len(shop.asked[0].path.split("/")) == 4


def test_a_job_says_what_is_wanted(client: Client, shop: Shop) -> None:
    shop.plain["POST /v1/jobs"] = {"id": "a", "status": "queued"}
    found = client.start_job(
        "tiny", np.int64(10**9), where={"day": date(2024, 1, 1), "gap": None}, columns=None
    )
    assert found["id"] == "a"
    where = {"day": "2024-01-01", "gap": None}
    assert shop.asked[0].body == {"model": "tiny", "rows": 10**9, "where": where}


@pytest.mark.parametrize("ended", ["done", "failed", "cancelled"])
def test_waiting_ends_when_the_job_does(client: Client, shop: Shop, slept: list[float], ended: str) -> None:
    states = [json.dumps({"id": "a", "status": s}).encode() for s in ("queued", "running", ended)]
    shop.faults = deque([Fault(200, {}, state) for state in states])
    assert client.wait("a", every=3.0)["status"] == ended
    assert slept == [3.0, 3.0]


def test_waiting_has_an_end(client: Client, shop: Shop) -> None:
    shop.plain["GET /v1/jobs/a"] = {"id": "a", "status": "running"}
    with pytest.raises(ServiceError, match="job a is running after 0 s"):
        client.wait("a", timeout=0.0)


def test_the_token_comes_from_the_environment_unless_it_is_given(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FINGAN_TOKEN", "from-outside\n")
    for token in (None, "given", ""):
        Client(shop.url, token).table("tiny", 1)
    found = [request.headers.get("authorization") for request in shop.asked]
    assert found == ["Bearer from-outside", "Bearer given", None]


def test_a_password_in_netrc_does_not_take_the_tokens_place(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for token in (TOKEN, ""):
        Client(shop.url, token).table("tiny", 1)
    found = [request.headers.get("authorization") for request in shop.asked]
    assert found == [f"Bearer {TOKEN}", None]


def test_a_redirection_does_not_take_the_token_elsewhere(client: Client, shop: Shop) -> None:
    shop.faults = deque([Fault(307, {"location": f"{shop.url}/elsewhere"}, b"")])
    with pytest.raises(ServiceError, match="307"):
        client.table("tiny", 10)
    assert [request.path for request in shop.asked] == ["/v1/models/tiny/samples"]


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "tökén", "nul\0", "€" * 10])
def test_a_token_that_cannot_be_is_refused_and_not_repeated(token: str) -> None:
    with pytest.raises(ConfigError, match="token") as caught:
        Client("https://fingan.example.com", token)
    assert token not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["", "fingan.example.com", "ftp://x", "http://", "https:///v1", "http://[::1"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="is no address of a service"):
        Client(url)


def test_an_unknown_compression_is_refused() -> None:
    with pytest.raises(ConfigError, match="compression is zstd, gzip or None, got 'br'"):
        Client("https://fingan.example.com", compression="br")


def test_an_address_may_end_in_a_stroke_or_have_a_path(shop: Shop) -> None:
    Client(f"{shop.url}/").table("tiny", 1)
    shop.plain["GET /behind/proxy/v1/models"] = {"models": []}
    assert Client(f"{shop.url}/behind/proxy/").models() == []
    assert shop.asked[0].path == "/v1/models/tiny/samples"


def test_it_is_the_packages_own() -> None:
    assert fingan.Client is Client
