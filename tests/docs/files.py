"""What tests of the launcher's file, the manifests and the guide share."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import typer
import yaml

from fingan.cli.app import app

ROOT = Path(__file__).resolve().parents[2]


CLUSTER = ROOT / "cluster.yaml"


KUBERNETES = ROOT / "kubernetes"


GUIDE = ROOT / "docs" / "cluster.md"


RAY_KINDS = {"raycluster": "RayCluster", "rayjob": "RayJob", "rayservice": "RayService"}


def launcher() -> dict[str, Any]:
    return yaml.safe_load(CLUSTER.read_text(encoding="utf-8"))


@cache
def _text(name: str) -> str:
    return (KUBERNETES / f"{name}.yaml").read_text(encoding="utf-8")


def manifest(name: str) -> dict[str, Any]:
    return yaml.safe_load(_text(name))


def cluster_of(name: str) -> dict[str, Any]:
    """Return the specification of the cluster in a manifest of KubeRay's."""
    spec = manifest(name)["spec"]
    inner = {"RayCluster": None, "RayJob": "rayClusterSpec", "RayService": "rayClusterConfig"}
    key = inner[RAY_KINDS[name]]
    return spec if key is None else spec[key]


def parsed(words: list[str]) -> dict[str, Any]:
    """Parse a command line of fingan without running it; return the verb's parameters.

    Raises:
        click.UsageError: an unknown verb or option, or a missing value.
    """
    command: Any = typer.main.get_command(app)
    group = command.make_context("fingan", list(words), resilient_parsing=True)
    verb, inner, rest = command.resolve_command(group, list(words))
    if hasattr(inner, "commands"):
        _, inner, rest = inner.resolve_command(inner.make_context(verb, list(rest), parent=group), list(rest))
    return inner.make_context(verb, list(rest)).params


def entry_point(words: list[str]) -> list[str]:
    """Return fingan's words for `python -m ray_jobs.VERB …`."""
    assert words[:2] == ["python", "-m"]
    package, _, verb = words[2].partition(".")
    assert (ROOT / package / f"{verb}.py").is_file()
    return [verb, *words[3:]]


@cache
def guide() -> str:
    return GUIDE.read_text(encoding="utf-8")


def commands() -> Iterator[list[str]]:
    """Yield the words of every command in the guide's bash blocks; one quoted inside another follows it."""
    for block in re.findall(r"^```bash\n(.*?)^```$", guide(), re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words:
                yield words
            if words[:2] == ["ray", "exec"]:
                yield shlex.split(words[-1])
