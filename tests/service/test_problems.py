"""Errors as they are told: the right status and word, and nothing of the server's inside."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from fingan.errors import (
    BundleError,
    CheckpointCorrupt,
    ConditionError,
    ConfigError,
    DataError,
    FinganError,
    NotAvailable,
    NotFound,
    SchemaMismatch,
    TrainingDiverged,
)
from fingan.registry import Registry
from fingan.service.problems import MEDIA_TYPE, Refused, problem, refusal
from tests.registry.helpers import make_bundle

PATH = "/srv/models/registry"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ConditionError("where: no"), 422, "condition_error"),
        (ConfigError("columns: no"), 422, "invalid_request"),
        (NotAvailable("not yet"), 422, "not_available"),
        (DataError("no"), 422, "data_error"),
        (SchemaMismatch("no"), 422, "data_error"),
        (NotFound("no"), 404, "not_found"),
        (BundleError("no"), 503, "model_broken"),
        (TrainingDiverged("no"), 500, "internal_error"),
        (CheckpointCorrupt("no"), 500, "internal_error"),
        (FinganError("no"), 500, "internal_error"),
    ],
)
def test_every_error_has_a_status_and_a_word(error: FinganError, status: int, code: str) -> None:
    found = refusal(error)
    assert (found.status, found.code) == (status, code)
    assert (found.retry_after is not None) == (status == 503)


def test_what_the_caller_can_mend_is_told_in_full() -> None:
    for error in (ConditionError("label: 'x'"), ConfigError("label: 'x'"), NotAvailable("label: 'x'")):
        assert refusal(error).detail == "label: 'x'"


@pytest.mark.parametrize("kind", [BundleError, CheckpointCorrupt, TrainingDiverged, FinganError, NotFound])
def test_no_place_of_the_server_is_told(kind: type[FinganError]) -> None:
    told = refusal(kind(f"cannot read {PATH}/loans/3/manifest.json")).detail
    assert PATH not in told
    assert "loans" not in told


def test_a_registrys_not_found_names_neither_its_place_nor_other_models(tmp_path: Path) -> None:
    Registry(tmp_path / "registry").publish("secret-project", make_bundle(tmp_path / "bundle"))
    with pytest.raises(NotFound, match="secret-project") as caught:
        Registry(tmp_path / "registry").resolve("secret-projects")
    told = refusal(caught.value).detail
    assert str(tmp_path) not in told
    assert "secret" not in told


def test_a_refusal_stays_what_it_is_also_across_processes() -> None:
    error = Refused(429, "overloaded", "too much", 7)
    assert refusal(error) is error
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.status, copy.code, copy.detail, copy.retry_after) == (429, "overloaded", "too much", 7)
    assert str(copy) == "too much"


def test_a_problem_is_told_as_rfc_9457_writes_it() -> None:
    answer = problem(Refused(413, "too_many_rows", "rows: zu viele, größer als €"), {"X-Own": "1"})
    assert answer.status_code == 413
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert answer.headers["x-own"] == "1"
    assert "retry-after" not in answer.headers
    assert "www-authenticate" not in answer.headers
    assert json.loads(answer.body) == {
        "type": "about:blank",
        "title": "Too large",
        "status": 413,
        "detail": "rows: zu viele, größer als €",
        "code": "too_many_rows",
    }


def test_headers_that_a_status_needs() -> None:
    assert problem(Refused(401, "unauthorized", "who?")).headers["www-authenticate"].startswith("Bearer ")
    assert problem(Refused(429, "overloaded", "later", 3)).headers["retry-after"] == "3"
    assert problem(Refused(503, "overloaded", "later", 0)).headers["retry-after"] == "1"
    assert json.loads(problem(Refused(418, "teapot", "short")).body)["title"] == "Error"


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\x00\n\r\t\"'</script>", "🦊"])
def test_whatever_a_caller_wrote_can_be_repeated_to_it(text: str) -> None:
    answer = problem(Refused(422, "invalid_request", f"where: no column {text!r} or {text}"))
    assert text in json.loads(answer.body)["detail"]
