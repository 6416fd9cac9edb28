"""The operator's guide holds what it promises: commands, options, keys, numbers."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import typer

from fingan.cli.app import app
from fingan.config import Config, to_mapping
from fingan.training import Update
from tests.docs.files import (
    CLUSTER,
    GUIDE,
    KUBERNETES,
    RAY_KINDS,
    ROOT,
    cluster_of,
    commands,
    entry_point,
    guide,
    launcher,
    parsed,
)


def prose() -> str:
    return re.sub(r"^```.*?^```$", "", guide(), flags=re.DOTALL | re.MULTILINE)


def spans() -> list[str]:
    """Return what stands between backquotes in the prose."""
    return re.findall(r"`([^`]+)`", prose())


def ray_options(words: list[str]) -> None:
    """Make sure that a command of Ray's has the verbs and options that are used."""
    from ray.scripts.scripts import cli

    command: Any = cli
    rest = list(words)
    while hasattr(command, "commands"):
        command = command.commands[rest.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word.partition("=")[0] for word in rest if word.startswith("--")} <= known


def test_the_guides_commands_exist():
    seen = set()
    for words in commands():
        seen.add(words[0])
        if words[0] == "fingan":
            parsed(words[1:])
        elif words[0] == "ray":
            end = words.index("--") if "--" in words else len(words)
            ray_options(words[1:end])
            if words[end + 1 :]:
                parsed(entry_point(words[end + 1 :]))
        elif words[0] == "kubectl":
            assert words[1] in {"apply", "create"}
            for path in words[3::2]:
                assert (ROOT / path).is_file()
        else:
            assert words[0] == "export"
    assert seen == {"fingan", "ray", "kubectl", "export"}


def test_the_guides_options_exist():
    command: Any = typer.main.get_command(app)
    known = {o for verb in command.commands.values() for p in verb.params for o in p.opts}
    named = {word for span in spans() for word in re.findall(r"(?<![\w-])--[a-z][a-z-]*", span)}
    assert {"--address", "--allow-open-dashboard", "--resume", "--workers", "--gate"} <= named
    assert named <= known


def test_the_guides_configuration_keys_exist():
    sections = {k: v for k, v in to_mapping(Config()).items() if isinstance(v, dict)}
    pattern = rf"\b(?:{'|'.join(sections)})\.[a-z_]+\b(?!\.)"
    named = {key for span in spans() for key in re.findall(pattern, span)} - {"data.parquet"}
    assert {"data.in_memory", "compute.min_workers", "compute.timeout", "training.shards"} <= named
    for key in named:
        section, _, name = key.partition(".")
        assert name in sections[section], key


def test_the_guides_defaults_are_those_of_the_configuration():
    config = Config()
    text = " ".join(guide().split())
    assert f"{config.data.in_memory // 1_000_000} million by default" in text
    assert f"`training.shards` ({config.training.shards})" in text
    assert f"`checkpoint.every_steps` ({config.checkpoint.every_steps})" in text
    assert f"`compute.timeout` ({to_mapping(config)['compute']['timeout']})" in text
    assert f"`health.max_rollbacks` ({config.health.max_rollbacks})" in text


def test_the_guides_numbers_are_those_of_the_code():
    from fingan.cluster import jobs, lease, trainer
    from fingan.data import survey

    text = " ".join(guide().split())
    assert f"at most {jobs.LARGEST_UPLOAD >> 20} MiB" in text
    assert f"set {jobs.STOP_SECONDS} on the nodes" in text
    assert f"after {lease.PATIENCE_SECONDS:g} s on another" in text
    assert f"looks every {trainer.RESIZE_SECONDS:g} s for room" in text
    assert f"sample of {survey.SAMPLE_ROWS:,} rows" in text
    assert trainer.MAX_FAILURES == 3
    assert "after the fourth failure" in text
    assert launcher()["idle_timeout_minutes"] == 5
    assert all(cluster_of(n)["autoscalerOptions"]["idleTimeoutSeconds"] == 300 for n in RAY_KINDS)


def test_the_guides_environment_variables_exist():
    import ray

    named = set(re.findall(r"\b(?:FINGAN|RAY|MLFLOW)_[A-Z_]+\b", guide()))
    assert named >= {"FINGAN_RUNS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH", "RAY_JOB_STOP_WAIT_TIME_S"}
    theirs = ("_private/runtime_env/image_uri.py", "dashboard/modules/job/job_supervisor.py", "exceptions.py")
    read = [Path(ray.__file__).parent / name for name in theirs] + list((ROOT / "fingan").rglob("*.py"))
    known = "\n".join(path.read_text(encoding="utf-8") for path in read)
    assert {name for name in named if not re.search(rf"\b{name}\b", known)} == set()


def test_the_guides_fields_and_gauges_are_those_of_a_run():
    from fingan.cluster.tracking import scalars

    table = guide().partition("| field | what |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert named == [field.name for field in dataclasses.fields(Update)]
    update = Update(1, 2, 1.0, 1.0, 1.0, 0.5, 0.5, {"discriminator_loss": 1.0})
    gauges = {f"fingan_{name}" for name in ("step", *scalars(update))}
    assert set(re.findall(r"\bfingan_\w+", guide())) == gauges
    assert '"discriminator_loss"' in (ROOT / "fingan" / "objective" / "terms.py").read_text(encoding="utf-8")


def test_the_disk_that_encoded_rows_take():
    import numpy as np

    from fingan.encoding.table import EncodedTable

    numbers, codes = np.zeros((1, 1), np.float32), np.zeros((1, 1), np.int32)
    rows = EncodedTable(numbers, numbers, codes)
    numeric, categorical = rows.lower.nbytes + rows.width.nbytes, rows.codes.nbytes
    formula = f"rows × ({numeric} bytes per numeric field + {categorical} bytes per categorical field)"
    assert formula in guide()


def test_the_files_that_the_guide_names_exist():
    named = {s for s in spans() if re.fullmatch(r"(?:kubernetes/[\w.]*|\w+\.yaml)", s)}
    assert named >= {"cluster.yaml", "kubernetes/"}
    assert all((ROOT / name).exists() for name in named)


def test_nothing_of_any_machine_is_in_the_files():
    for path in (CLUSTER, GUIDE, *KUBERNETES.iterdir()):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"/(?:root|tmp|work|Users)/|/home/(?!ray\b)", text), path
