"""The cluster launcher's file, the Kubernetes manifests and the operator's guide hold what they promise."""

from __future__ import annotations

import copy
import re
import shlex
from typing import Any

import pytest
import yaml

from tests.docs.files import (
    CLUSTER,
    KUBERNETES,
    RAY_KINDS,
    ROOT,
    _text,
    cluster_of,
    entry_point,
    guide,
    launcher,
    manifest,
    parsed,
)

KINDS = {
    **{name: ("ray.io/v1", kind) for name, kind in RAY_KINDS.items()},
    "networkpolicy": ("networking.k8s.io/v1", "NetworkPolicy"),
    "pvc": ("v1", "PersistentVolumeClaim"),
}


PART_OF = {"app.kubernetes.io/part-of": "fingan"}


def validate(config: dict[str, Any]) -> None:
    """Hold a launcher's file against Ray's own schema, with the provider's defaults, offline."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(copy.deepcopy(config)))


def starts(config: dict[str, Any]) -> list[str]:
    commands = config["head_start_ray_commands"] + config["worker_start_ray_commands"]
    return [command for command in commands if "ray start" in command]


def _misspelt(config: dict[str, Any]) -> None:
    config["head_start_ray_comands"] = config.pop("head_start_ray_commands")


def _misspelt_in_a_type(config: dict[str, Any]) -> None:
    config["available_node_types"]["gpu"]["min_worker"] = 0


def _unknown_head(config: dict[str, Any]) -> None:
    config["head_node_type"] = "haed"


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


def test_the_launchers_file_fits_rays_schema():
    validate(launcher())


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
