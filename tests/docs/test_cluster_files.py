"""The cluster launcher's file, the Kubernetes manifests and the operator's guide hold what they promise."""

from __future__ import annotations

import copy
import dataclasses
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from fingan.cli.app import app
from fingan.config import Config, to_mapping
from fingan.training import Update

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "cluster.yaml"
KUBERNETES = ROOT / "kubernetes"
GUIDE = ROOT / "docs" / "cluster.md"

RAY_KINDS = {"raycluster": "RayCluster", "rayjob": "RayJob", "rayservice": "RayService"}
KINDS = {
    **{name: ("ray.io/v1", kind) for name, kind in RAY_KINDS.items()},
    "networkpolicy": ("networking.k8s.io/v1", "NetworkPolicy"),
    "pvc": ("v1", "PersistentVolumeClaim"),
}
PART_OF = {"app.kubernetes.io/part-of": "fingan"}


# --- cluster.yaml


def launcher() -> dict[str, Any]:
    return yaml.safe_load(CLUSTER.read_text(encoding="utf-8"))


def validate(config: dict[str, Any]) -> None:
    """Hold a launcher's file against Ray's own schema, with the provider's defaults, offline."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(copy.deepcopy(config)))


def starts(config: dict[str, Any]) -> list[str]:
    commands = config["head_start_ray_commands"] + config["worker_start_ray_commands"]
    return [command for command in commands if "ray start" in command]


def test_the_launchers_file_fits_rays_schema():
    validate(launcher())


def _misspelt(config: dict[str, Any]) -> None:
    config["head_start_ray_comands"] = config.pop("head_start_ray_commands")


def _misspelt_in_a_type(config: dict[str, Any]) -> None:
    config["available_node_types"]["gpu"]["min_worker"] = 0


def _unknown_head(config: dict[str, Any]) -> None:
    config["head_node_type"] = "haed"


@pytest.mark.parametrize("damage", [_misspelt, _misspelt_in_a_type, _unknown_head])
def test_a_mistake_in_the_launchers_file_is_caught(damage):
    config = launcher()
    damage(config)
    with pytest.raises(Exception, match=r"min_worker|head_start_ray_comands|head_node_type"):
        validate(config)


def test_every_start_of_ray_asks_for_the_token():
    config = launcher()
    assert len(starts(config)) == 2
    for command in starts(config):
        settings, _, start = command.partition("ray start")
        assert settings.startswith("export ")
        assert "RAY_AUTH_MODE=token" in settings.split(";")[0].split()
        assert "auth" not in start
    assert "-e RAY_AUTH_MODE=token" in config["docker"]["run_options"]


def test_the_token_is_shipped_and_readable_by_its_owner_alone():
    config = launcher()
    assert config["file_mounts"]["~/auth"] == "~/.fingan/auth"
    assert "chmod 700 ~/auth && chmod 600 ~/auth/token" in config["setup_commands"]
    for place in (*starts(config), " ".join(config["docker"]["run_options"])):
        assert "RAY_AUTH_TOKEN_PATH=/home/ray/auth/token" in place
    text = CLUSTER.read_text(encoding="utf-8")
    assert "umask 077" in text
    assert not re.search(r"\b[0-9a-f]{32,}\b", text)


def test_the_dashboard_listens_on_loopback_only():
    hosts = re.findall(r"--dashboard-host[= ](\S+)", CLUSTER.read_text(encoding="utf-8"))
    assert hosts == ["127.0.0.1"]


def test_no_work_runs_on_the_head_and_gpus_are_rented_on_demand():
    config = launcher()
    types = config["available_node_types"]
    assert types[config["head_node_type"]]["resources"] == {"CPU": 0}
    gpu, cpu = types["gpu"], types["cpu"]
    assert gpu["resources"]["GPU"] > 1
    assert (gpu["min_workers"], cpu["min_workers"]) == (0, 0)
    assert gpu["max_workers"] > 0
    assert "GPU" not in cpu["resources"]
    assert cpu["resources"]["CPU"] > 0
    assert gpu["max_workers"] + cpu["max_workers"] <= config["max_workers"]


def test_shared_storage_is_mounted_on_every_node():
    config = launcher()
    # What a node type said for itself would replace what is said for all.
    for node in config["available_node_types"].values():
        assert not {"initialization_commands", "docker", "worker_setup_commands"} & node.keys()
    mounting = " ".join(config["initialization_commands"])
    assert "mount -t nfs4" in mounting
    assert config["initialization_commands"][-1] == "mountpoint /mnt/fingan"
    options = config["docker"]["run_options"]
    assert "-v /mnt/fingan:/shared" in options
    assert not {"head_run_options", "worker_run_options"} & config["docker"].keys()
    for place in (*starts(config), " ".join(options)):
        assert "FINGAN_RUNS=/shared/runs" in place


def test_the_versions_agree():
    pinned = re.search(r"^ray==(.+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert pinned is not None
    assert launcher()["docker"]["image"].startswith(f"rayproject/ray:{pinned[1]}-")
    for name in RAY_KINDS:
        assert cluster_of(name)["rayVersion"] == pinned[1]
    assert images() == {f"registry.example.com/fingan:ray-{pinned[1]}"}
    assert f"FROM {launcher()['docker']['image']}\n" in guide()


# --- kubernetes/


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


def pods(name: str) -> list[dict[str, Any]]:
    """Return the templates of all pods that a manifest makes."""
    cluster = cluster_of(name)
    found = [group["template"] for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])]
    submitter = manifest(name)["spec"].get("submitterPodTemplate")
    return found if submitter is None else [*found, submitter]


def images() -> set[str]:
    return {c["image"] for name in RAY_KINDS for pod in pods(name) for c in pod["spec"]["containers"]}


def nodes(name: str) -> list[dict[str, Any]]:
    """Return the pods that are nodes of the cluster."""
    return [pod for pod in pods(name) if pod["spec"]["containers"][0]["name"].startswith("ray-")]


def test_every_manifest_is_known_to_these_tests():
    assert {path.stem for path in KUBERNETES.iterdir()} == KINDS.keys()


@pytest.mark.parametrize("name", KINDS)
def test_a_manifest_is_one_document_of_its_kind(name):
    documents = list(yaml.safe_load_all(_text(name)))
    assert len(documents) == 1
    assert (documents[0]["apiVersion"], documents[0]["kind"]) == KINDS[name]
    assert documents[0]["metadata"]["labels"] == PART_OF


@pytest.mark.parametrize("name", RAY_KINDS)
def test_a_cluster_asks_for_its_token(name):
    assert cluster_of(name)["authOptions"] == {"mode": "token"}
    text = _text(name)
    assert "secretName" not in text
    assert "RAY_AUTH_TOKEN" not in text


@pytest.mark.parametrize("name", RAY_KINDS)
def test_all_pods_run_confined(name):
    contexts = [cluster_of(name)["autoscalerOptions"]["securityContext"]]
    for pod in pods(name):
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & spec.keys()
        assert not any("hostPath" in volume for volume in spec.get("volumes", ()))
        contexts += [container["securityContext"] for container in spec["containers"]]
    for context in contexts:
        assert context == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


@pytest.mark.parametrize("name", RAY_KINDS)
def test_all_nodes_have_the_shared_storage_a_probe_and_limits(name):
    claim = manifest("pvc")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    for pod in nodes(name):
        (container,) = pod["spec"]["containers"]
        (volume,) = pod["spec"]["volumes"]
        assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        assert container["volumeMounts"] == [{"name": volume["name"], "mountPath": "/shared"}]
        assert {"name": "FINGAN_RUNS", "value": "/shared/runs"} in container["env"]
        assert container["readinessProbe"]["httpGet"].keys() == {"path", "port"}
    for pod in pods(name):
        (container,) = pod["spec"]["containers"]
        for bound in ("requests", "limits"):
            assert {"cpu", "memory"} <= container["resources"][bound].keys()


@pytest.mark.parametrize("name", RAY_KINDS)
def test_no_work_runs_on_the_head_and_workers_come_on_demand(name):
    cluster = cluster_of(name)
    assert cluster["enableInTreeAutoscaling"] is True
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    groups = {group["groupName"]: group for group in cluster["workerGroupSpecs"]}
    for group in groups.values():
        assert group["minReplicas"] <= group["replicas"] < group["maxReplicas"]
    if name != "rayservice":
        limits = groups["gpu"]["template"]["spec"]["containers"][0]["resources"]["limits"]
        assert groups["gpu"]["minReplicas"] == groups["cpu"]["minReplicas"] == 0
        assert limits["nvidia.com/gpu"] > 1


def test_the_policy_selects_every_pod_and_opens_no_port_to_all():
    spec = manifest("networkpolicy")["spec"]
    assert spec["podSelector"] == {"matchLabels": PART_OF}
    assert spec["policyTypes"] == ["Ingress"]
    for name in RAY_KINDS:
        for pod in pods(name):
            assert PART_OF.items() <= pod["metadata"]["labels"].items()
    for rule in spec["ingress"]:
        assert rule["from"]
        for peer in rule["from"]:
            assert peer.keys() == {"podSelector"} or (peer.keys() == {"namespaceSelector"} and rule["ports"])
            assert next(iter(peer.values()))["matchLabels"]


def test_the_service_names_its_entry_point():
    (application,) = yaml.safe_load(manifest("rayservice")["spec"]["serveConfigV2"])["applications"]
    assert application["import_path"] == "serve.app:build"


# --- the command line


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


def test_the_jobs_arguments_fit_fingan():
    from fingan.cli.options import configuration

    spec = manifest("rayjob")["spec"]
    given = parsed(entry_point(shlex.split(spec["entrypoint"])))
    assert given["registry"].startswith("/shared/")
    config = configuration(
        None, given["sets"], compute__workers=given["workers"], training__time_budget=given["time_budget"]
    )
    gpu = next(g for g in cluster_of("rayjob")["workerGroupSpecs"] if g["groupName"] == "gpu")
    limits = gpu["template"]["spec"]["containers"][0]["resources"]["limits"]
    room = gpu["maxReplicas"] * limits["nvidia.com/gpu"]
    assert 0 < config.compute.workers * config.compute.gpus_per_worker <= room
    # A second attempt would begin a new run.
    assert spec["backoffLimit"] == 0
    assert spec["shutdownAfterJobFinishes"] is True


def test_an_argument_that_fingan_does_not_know_is_caught():
    with pytest.raises(Exception, match="--worker-count"):
        parsed(["train", "data.parquet", "--worker-count", "8"])


# --- docs/cluster.md


@cache
def guide() -> str:
    return GUIDE.read_text(encoding="utf-8")


def prose() -> str:
    return re.sub(r"^```.*?^```$", "", guide(), flags=re.DOTALL | re.MULTILINE)


def spans() -> list[str]:
    """Return what stands between backquotes in the prose."""
    return re.findall(r"`([^`]+)`", prose())


def commands() -> Iterator[list[str]]:
    """Yield the words of every command in the guide's bash blocks; one quoted inside another follows it."""
    for block in re.findall(r"^```bash\n(.*?)^```$", guide(), re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words:
                yield words
            if words[:2] == ["ray", "exec"]:
                yield shlex.split(words[-1])


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
