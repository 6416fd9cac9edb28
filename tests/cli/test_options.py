"""Options of commands as overrides of the configuration."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from fingan.cli import serve
from fingan.cli.app import run
from fingan.cli.console import Console
from fingan.cli.options import configuration, shown


@pytest.mark.parametrize(
    "name", ["💰", "naïve", "a b: c", "tab\there", "quote\"'", "\x7f\x85\u2028", "2020-13-45"]
)
def test_a_column_of_any_name_can_be_the_target(name):
    assert configuration(None, None, data__target=name).data.target == name


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("models", "models"),
        ("what?@home", "what?@home"),
        ("s3://bank/models", "s3://bank/models"),
        ("s3://KEY:SECRET@bank/models?region=eu", "s3://bank/models"),
        ("s3://KEY:SE@CRET@bank/a@b", "s3://bank/a@b"),
        ("--registry=s3://KEY:SECRET@bank/models", "--registry=s3://bank/models"),
        ("s3://bank?mail=a@b", "s3://bank"),
    ],
)
def test_an_address_is_told_without_its_keys(place, told):
    assert shown(place) == told


def test_commands_tell_the_registry_without_its_keys(tmp_path, monkeypatch, capsys):
    training = {"steps": 1, "seconds": 1.0, "rows_per_second": 1.0, "stopped_by": "steps"}
    generator = SimpleNamespace(metrics={"training": training})
    trained = SimpleNamespace(name="m", version=1, interrupted=False, generator=generator)
    monkeypatch.setattr("fingan.cluster.train", lambda *given: trained)
    registry = f"file://{tmp_path}?key=SECRET"
    assert run(["train", "m.csv", "--registry", registry, "--json"]) == 0
    assert run(["models", "list", "--registry", registry]) == 0
    settings = serve.service_configuration(None, None, registry, None)
    for as_json in (True, False):
        serve._ready(Console(as_json), "http://127.0.0.1:8000", settings)
    told = capsys.readouterr()
    assert told.out.count(str(tmp_path)) == 4
    assert "SECRET" not in told.out + told.err
