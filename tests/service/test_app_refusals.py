"""The service over HTTP: what it refuses, with which words, and to whom."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import requests

from fingan.config import ServiceConfig
from fingan.registry import Registry
from fingan.service.app import _routed
from fingan.service.guard import PUBLIC
from fingan.service.identity import Caller, OneToken
from tests import tiny
from tests.service.services import TOKEN, Service, busy, counted, publish, service, until


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"rows": 0}, 422, "rows"),
        ({"rows": -1}, 422, "rows"),
        ({"rows": 10**18}, 422, "rows"),
        ({"rows": "1e5"}, 422, "rows"),
        ({"rows": True}, 422, "rows"),
        ({"rows": 1.5}, 422, "rows"),
        ({"rows": 10**9}, 413, "offset"),
        ({"rows": 1, "seed": -1}, 422, "seed"),
        ({"rows": 1, "seed": 2**63}, 422, "seed"),
        ({"rows": 1, "offset": 2**60}, 422, "offset"),
        ({"rows": 1, "candidates": 65}, 422, "candidates"),
        ({"rows": 1, "colums": ["a"]}, 422, "colums"),
        ({"rows": 1, "columns": ["agee"]}, 422, "'age'"),
        ({"rows": 1, "columns": ["age", "age"]}, 422, "twice"),
        ({"rows": 1, "columns": []}, 422, "columns"),
        ({"rows": 1, "where": {"labl": "bad"}}, 422, "'label'"),
        ({"rows": 1, "where": {"label": "worse"}}, 422, "worse"),
        ({"rows": 1, "where": {"age": "old"}}, 422, "'old'"),
        ({"rows": 1, "where": {"customer": "cust-1"}}, 422, "identifier"),
        ({"rows": 1, "where": {"age": [1]}}, 422, "where"),
        ({"seed": 1}, 422, "rows"),
    ],
)
def test_bad_requests_name_field_value_and_remedy(
    running: Service, body: dict[str, object], status: int, said: str
) -> None:
    answer = running.ask("POST", "/v1/models/tiny/samples", json=body)
    problem = answer.json()
    assert (answer.status_code, problem["status"]) == (status, status)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert said in problem["detail"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"x"', b"\xff", b'{"rows": NaN}'])
def test_what_is_no_request(running: Service, content: bytes) -> None:
    answer = running.ask(
        "POST", "/v1/models/tiny/samples", data=content, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == (400 if content == b"\xff" else 422)


def test_json_is_one_value_and_has_its_own_limit(registry: Path) -> None:
    with service(registry, limits={"json_rows": 100}) as found:
        assert found.rows("tiny", "json", rows=101).status_code == 413
        assert found.rows("tiny", "ndjson", rows=101).status_code == 200


def test_unpaced_answers_are_capped(registry: Path) -> None:
    with service(registry, paced=False, limits={"unpaced_rows": 1000}) as found:
        assert found.rows("tiny", rows=1001).status_code == 413
        assert found.ask("GET", "/v1/models/tiny").json()["limits"] == {"rows": 1000, "json_rows": 1000}


def test_unpaced_answers_are_capped_in_bytes_too(registry: Path) -> None:
    """By what a row of the wanted columns takes in the format; the limit that is told holds."""
    with service(registry, paced=False, limits={"unpaced_bytes": 1 << 20}) as found:
        limits = found.ask("GET", "/v1/models/tiny").json()["limits"]
        assert 5000 < limits["json_rows"] < limits["rows"] < 20_000
        assert found.rows("tiny", rows=limits["rows"]).status_code == 200
        assert len(found.rows("tiny", rows=limits["rows"]).content) < 1.3 * (1 << 20)
        refused = found.rows("tiny", rows=2 * limits["rows"])
        assert (refused.status_code, refused.json()["code"]) == (413, "too_many_bytes")
        detail = refused.json()["detail"]
        assert "1,048,576 bytes" in detail
        assert f"ask for {limits['rows']:,} rows at a time with offset, for fewer columns" in detail
        assert "POST /v1/jobs" in detail
        assert found.rows("tiny", rows=2 * limits["rows"], columns=["age"]).status_code == 200
        assert found.rows("tiny", "ndjson", rows=limits["rows"]).status_code == 413
    with service(registry, paced=True, limits={"unpaced_bytes": 1 << 16}) as found:
        assert found.rows("tiny", rows=20_000).status_code == 200


def test_unpaced_answers_share_a_budget_of_bytes(registry: Path) -> None:
    with (
        counted(registry) as (bench, _),
        service(registry, backend=bench, paced=False, limits={"unpaced_together": 1 << 20}) as found,
    ):
        assert found.rows("tiny", rows=20_000).status_code == 200
        with busy(bench._large), found.asks("tiny", rows=8000):
            until(lambda: found.gauge("fingan_streams") == 1)
            refused = found.rows("tiny", rows=8000)
            assert refused.status_code == 429
            assert int(refused.headers["Retry-After"]) >= 1
            assert "bytes of answers are under way" in refused.json()["detail"]
            assert found.rows("tiny", rows=100).status_code == 200
        until(lambda: found.gauge("fingan_streams") == 0)
        assert found.rows("tiny", rows=8000).status_code == 200


def test_rows_beyond_the_identifiers_of_a_format_are_refused_before_any_is_made(running: Service) -> None:
    (customer,) = tiny.generator().engine.encoder.identifiers
    last = customer.capacity
    assert running.rows("tiny", rows=20_000, offset=last - 20_000).status_code == 200
    for wanted in ({}, {"columns": ["age", "customer"]}, {"where": {"label": "bad"}}):
        for rows in (20_000, 10):
            refused = running.rows("tiny", rows=rows, offset=last - rows + 1, **wanted)
            assert (refused.status_code, refused.json()["code"]) == (422, "data_error")
            detail = refused.json()["detail"]
            assert f"{last + 1:,} is more than the {last:,} values of column 'customer'" in detail
            assert "ask for rows up to there" in detail


def test_who_asks_for_no_identifier_may_have_rows_without_number(running: Service) -> None:
    (customer,) = tiny.generator().engine.encoder.identifiers
    columns = ["age", "city"]
    for rows in (10, 20_000):
        first = customer.capacity - rows // 2
        expected = tiny.generator().without_identifiers().sample(rows, offset=first).select(columns)
        answer = running.rows("tiny", rows=rows, offset=first, columns=columns)
        assert answer.status_code == 200, answer.text
        assert pa.ipc.open_stream(answer.content).read_all().equals(expected)


@pytest.mark.parametrize(
    "name", ["..%2fx", "%2e%2e", "a%00b", "TINY", "tiny:0", "t" * 65, "tiny:latest:1", "ｔiny"]
)
def test_names_that_are_none(running: Service, name: str) -> None:
    assert running.rows(name).status_code in (404, 422)


def test_unknown_models_are_not_there(running: Service) -> None:
    for path in (
        "/v1/models/tony",
        "/v1/models/tiny:7",
        "/v1/models/tiny:champion",
        "/v2/models/tiny/versions/9",
    ):
        answer = running.ask("GET", path)
        assert answer.status_code == 404, path
        assert str(answer.json()["detail"]).startswith("there is no"), path


def test_unknown_routes_methods_and_formats(running: Service) -> None:
    assert running.ask("GET", "/v1/nothing").status_code == 404
    assert running.ask("PUT", "/v1/models").status_code == 405
    assert running.rows("tiny", "xlsx").status_code == 406
    answer = running.ask("POST", "/v1/models/tiny/samples", json={"rows": 1}, headers={"Accept": "image/png"})
    assert answer.status_code == 406
    assert "arrow" in answer.json()["detail"]


def test_every_route_but_health_and_page_refuses_without_a_token(running: Service, registry: Path) -> None:
    with service(registry) as found:
        app = _routed_app(registry)
        routes = list(_walk(app.routes))
        assert len(routes) > 15
        for method, path in routes:
            filled = re.sub(r"\{version\}", "1", re.sub(r"\{[a-z]+\}", "tiny", path))
            for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
                answer = requests.request(method, found.url + filled, headers=headers, timeout=10)
                if path in PUBLIC and method in ("GET", "HEAD"):
                    assert answer.status_code != 401, (method, path)
                else:
                    assert answer.status_code == 401, (method, path)
                    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert requests.get(f"{found.url}/v1/models?token={TOKEN}", timeout=10).status_code == 401


def _walk(routes: Iterable[Any]) -> Iterator[tuple[str, str]]:
    for route in routes:
        if hasattr(route, "methods"):
            yield from ((method, route.path) for method in route.methods)
        else:
            # FastAPI keeps an included router whole.
            yield from _walk(getattr(route, "original_router", route).routes)


def _routed_app(registry: Path):  # type: ignore[no-untyped-def]
    from fingan.service.admission import Admission
    from fingan.service.catalogue import Catalogue
    from fingan.service.front import Front
    from fingan.service.quota import Quotas
    from fingan.service.sampler import Sampler
    from fingan.service.telemetry import Prometheus
    from fingan.service.workbench import Workbench

    config = ServiceConfig(registry=str(registry))
    store = Registry(registry)
    backend = Workbench(Sampler(store))
    return _routed(
        Front(
            config=config,
            backend=backend,
            catalogue=Catalogue(store, backend),
            admission=Admission(config.limits, 1, 1),
            quotas=Quotas(None),
            telemetry=Prometheus(),
            paced=True,
        )
    )


def test_another_callers_model_is_not_there(registry: Path) -> None:
    only = OneToken(TOKEN, Caller("other", models=frozenset({"loans"})))
    with service(registry, authority=only) as found:
        assert found.ask("GET", "/v1/models").json() == {"models": []}
        hidden, missing = found.rows("tiny"), found.rows("tinx")
        assert (hidden.status_code, missing.status_code) == (404, 404)
        assert hidden.json()["detail"].replace("tiny", "tinx") == missing.json()["detail"]


def test_counts_are_not_told_to_who_may_not_use_all_models(registry: Path) -> None:
    """They name every model, and tell how much it is used."""
    for models in (frozenset({"tiny"}), frozenset[str]()):
        with service(registry, authority=OneToken(TOKEN, Caller("other", models))) as found:
            refused = found.ask("GET", "/metrics")
            assert refused.status_code == 404
            assert "use one without a list of models" in refused.json()["detail"]


def test_quota_is_in_rows(registry: Path) -> None:
    with service(registry, limits={"rows_per_minute": 1000}) as found:
        assert found.rows("tiny", rows=900).status_code == 200
        refused = found.rows("tiny", rows=900)
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["Retry-After"]) <= 60


def test_candidates_beyond_the_configured_number_count_as_rows(tmp_path: Path) -> None:
    (tmp_path / "bundles").mkdir()
    store = tmp_path / "registry"
    publish(store, "refined", tiny.generator("sampling.candidates=2"), tmp_path / "bundles")
    with service(store, limits={"rows_per_minute": 1000}) as found:
        assert found.rows("refined", rows=100, candidates=1).status_code == 200
        assert found.rows("refined", rows=50, candidates=16).headers["X-Candidates"] == "16"
        # 100 and 50 · 16 / 2 are gone.
        assert found.rows("refined", rows=900).status_code == 429
        assert found.rows("refined", rows=450).status_code == 200


def test_candidates_that_are_not_chosen_among_are_not_made(tmp_path: Path) -> None:
    """Rows of a rare class alone are kept as often as they are made; the answer tells so."""
    (tmp_path / "bundles").mkdir()
    store = tmp_path / "registry"
    publish(store, "rare", tiny.with_rare("sampling.candidates=3"), tmp_path / "bundles")
    with service(store) as found:
        for where, candidates in (({"label": "bad"}, "1"), ({"label": "good"}, "3")):
            assert found.rows("rare", rows=10, where=where).headers["X-Candidates"] == candidates


def test_candidates_that_a_model_does_not_make_cost_nothing(registry: Path) -> None:
    with service(registry, limits={"rows_per_minute": 1000}) as found:
        assert found.rows("tiny", rows=900, candidates=64).status_code == 200


def test_large_bodies_are_refused(running: Service) -> None:
    where = {"x" * 900: "y" * 1000}
    many = {f"{n}{'x' * 900}": "y" for n in range(1200)}
    assert running.rows("tiny", where=where).status_code == 422
    assert running.rows("tiny", where=many).status_code == 413

    def chunks() -> object:
        for _ in range(40):
            yield b" " * 65536

    answer = running.ask("POST", "/v1/models/tiny/samples", data=chunks())
    assert answer.status_code == 413


def test_what_a_caller_wrote_is_not_told_back_at_length(running: Service) -> None:
    refused = running.rows("tiny", where={"label": "y" * 9000})
    assert refused.status_code == 422
    assert len(refused.content) < 5000
