"""The service's configuration: read like any other, wrong values refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from fingan.config import ReplicasConfig, ServiceConfig, load_service
from fingan.config.section import Section
from fingan.errors import ConfigError

FILE = """
registry: s3://bucket/models
models: [loans, cards]
preload: [loans:champion]
refresh: 1m
auth:
  oidc:
    issuer: https://login.example.com/
    audience: fingan
    keys_url: https://login.example.com/keys
limits: {wait: 500s, rows_per_minute: 1000}
replicas: {fewest: 0, most: 8, cpus: 2.5, idle: 1.5h}
"""


def sections(model: type[Section], name: str = "") -> list[tuple[str, type[Section]]]:
    found = [(name, model)]
    for key, field in model.model_fields.items():
        if isinstance(field.default, Section):
            found += sections(type(field.default), f"{name}{key}.")
    return found


def test_a_file_is_read_and_overridden(tmp_path: Path) -> None:
    path = tmp_path / "service.yaml"
    path.write_text(FILE)
    found = load_service(path, ["limits.wait=2s", "auth.oidc.models_claim=models", "fronts=3"])
    assert (found.registry, found.models, found.preload) == (
        "s3://bucket/models",
        ("loans", "cards"),
        ("loans:champion",),
    )
    assert (found.refresh, found.limits.wait, found.replicas.idle, found.fronts) == (60.0, 2.0, 5400.0, 3)
    assert found.limits.rows_per_minute == 1000
    assert found.replicas.threads == 2
    assert found.auth.required
    assert found.auth.oidc is not None
    assert (found.auth.oidc.name_claim, found.auth.oidc.models_claim) == ("sub", "models")


def test_without_a_file_everybody_is_asked_for_a_token() -> None:
    found = load_service()
    assert found == ServiceConfig()
    assert found.auth.required
    assert (found.auth.token_file, found.auth.oidc, found.models) == (None, None, None)


def test_a_replica_has_a_thread_at_least() -> None:
    assert [ReplicasConfig(cpus=cpus).threads for cpus in (0.0, 0.5, 1.0, 3.9)] == [1, 1, 1, 3]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("limits.rows=0", r"limits\.rows"),
        ("limits.rows=1.5", r"limits\.rows"),
        ("limits.rowes=10", r"unknown configuration key 'limits\.rowes'.*'limits\.rows'"),
        ("limits.wait=0", r"limits\.wait"),
        ("limits.wait=.inf", r"limits\.wait"),
        ("limits.wait=soon", r"limits\.wait.*'soon'"),
        ("limits.chunk_rows=1023", r"limits\.chunk_rows"),
        ("limits.streams=0", r"limits\.streams"),
        ("limits.queued=-1", r"limits\.queued"),
        ("limits.rows_per_minute=0", r"limits\.rows_per_minute"),
        ("limits.body_bytes=10", r"limits\.body_bytes"),
        ("limits.jobs=0", r"limits\.jobs"),
        ("replicas.fewest=2", r"replicas\.fewest is 2 but replicas\.most is 1; raise the latter"),
        ("replicas.target=0", r"replicas\.target"),
        ("replicas.cpus=.nan", r"replicas\.cpus"),
        ("refresh=-1", "refresh"),
        ("fronts=0", "fronts"),
        ("models=loans", "models"),
        ("registry=", "registry"),
        ("auth.requierd=false", r"'auth\.requierd'.*'auth\.required'"),
        ("auth.oidc={}", r"auth\.oidc\.issuer.*auth\.oidc\.audience.*auth\.oidc\.keys_url"),
        ("auth=none", "auth"),
        ("training.steps=1", r"unknown configuration key 'training'"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(override: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_service(None, [override])


@pytest.mark.parametrize("text", ["a: [", "- a", "registry: a\nregistry: b"])
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "service.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"service\.yaml"):
        load_service(tmp_path / "service.yaml")


def test_every_key_says_what_it_is() -> None:
    for name, section in sections(ServiceConfig):
        for key, field in section.model_fields.items():
            assert field.description or isinstance(field.default, Section), f"{name}{key} says nothing"


def test_it_survives_yaml_and_cannot_be_changed() -> None:
    found = ServiceConfig(refresh=90.0)
    text = yaml.safe_dump(found.model_dump(mode="json"))
    assert ServiceConfig.model_validate(yaml.safe_load(text)) == found
    with pytest.raises(ValueError, match="frozen"):
        found.registry = "elsewhere"  # type: ignore[misc]


def test_the_example_in_the_tree_is_sound(repository: Path) -> None:
    (application,) = yaml.safe_load((repository / "serve" / "config.yaml").read_text())["applications"]
    assert ServiceConfig.model_validate(application["args"]).auth.required


def test_dotted_keys_are_those_of_sections() -> None:
    """`serve run serve.app:build auth.token_file=… replicas.most=3` gives texts under flat keys."""
    config = ServiceConfig.model_validate(
        {"registry": "r", "auth.token_file": "tokens.yaml", "replicas.most": "3", "limits.wait": "5s"}
    )
    assert (config.auth.token_file, config.replicas.most, config.limits.wait) == ("tokens.yaml", 3, 5.0)
    with pytest.raises(ValidationError, match="nothing"):
        ServiceConfig.model_validate({"auth.nothing": 1})
