"""The files beside the service fit it: deployment, dashboard, front proxy, guide."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from fingan.config import ServiceConfig
from fingan.service.deployment import is_paced
from fingan.service.telemetry import Prometheus
from tests.docs.files import manifest


@pytest.fixture
def folder(repository: Path) -> Path:
    return repository / "serve"


def test_arguments_of_the_deployments_are_a_configuration(folder: Path) -> None:
    deployed = yaml.safe_load((folder / "config.yaml").read_text())
    service = yaml.safe_load(manifest("rayservice")["spec"]["serveConfigV2"])
    for written in (deployed, service):
        (application,) = written["applications"]
        assert application["import_path"] == "serve.app:build"
        config = ServiceConfig.model_validate(application["args"])
        assert config.auth.required
        assert config.auth.token_file


def test_on_kubernetes_a_stalled_reader_holds_its_answer_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """On every node, as Ray Serve wants it, and with the ports closed that come with it."""
    cluster = manifest("rayservice")["spec"]["rayClusterConfig"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        (container,) = group["template"]["spec"]["containers"]
        env = {one["name"]: one["value"] for one in container["env"]}
        # More than the widest piece: 8,192 rows of a thousand columns of text.
        assert int(env["RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH"]) > 8192 * 1000 * 20
        with monkeypatch.context() as set_here:
            for name, value in env.items():
                set_here.setenv(name, value)
            assert is_paced(ServiceConfig())
    rules = manifest("networkpolicy")["spec"]["ingress"]
    opened = {port["port"] for rule in rules for port in rule.get("ports", ())}
    assert not opened & {8404, 9101}


def test_the_dashboard_asks_for_what_is_counted(folder: Path) -> None:
    counts = Prometheus()
    counts.request("GET", "/", 200, 0.1)
    counts.rows("loans", 1)
    counts.together(1)
    counts.serving("loans:latest", 1)
    told = set(re.findall(r"^(fingan_[a-z_]+)", counts.text().decode(), re.MULTILINE))
    dashboard = json.loads((folder / "grafana.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked = {name for text in expressions for name in re.findall(r"(?<![a-z_])fingan_[a-z_]+", text)}
    for text in expressions:
        # Of one front, and of all that Ray gathers on a cluster.
        assert text.count("fingan_") == text.count('__name__=~"(ray_)?fingan_')
    assert len(dashboard["panels"]) >= 6
    assert asked <= told
    titles = " ".join(panel["title"] for panel in dashboard["panels"]).lower()
    for shown in ("rows", "seconds", "waiting", "forward pass", "versions"):
        assert shown in titles


def test_the_front_proxy_has_deadlines_and_holds_nothing_back(folder: Path) -> None:
    text = (folder / "nginx.conf").read_text()
    for directive in ("client_header_timeout", "client_body_timeout", "send_timeout", "ssl_certificate"):
        assert re.search(rf"^\s*{directive}\s", text, re.MULTILINE), directive
    assert "proxy_buffering off;" in text


def test_nginx_takes_the_front_proxy(folder: Path, tmp_path: Path) -> None:
    nginx, openssl = shutil.which("nginx"), shutil.which("openssl")
    if nginx is None or openssl is None:
        pytest.skip("nginx or openssl is not installed")
    key, certificate = str(tmp_path / "key"), str(tmp_path / "crt")
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-days", "1"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    text = (folder / "nginx.conf").read_text()
    text = text.replace("/etc/ssl/fingan.crt", certificate).replace("/etc/ssl/fingan.key", key)
    place = tmp_path / "nginx.conf"
    place.write_text(f"pid {tmp_path}/pid;\nerror_log {tmp_path}/error.log;\n{text}")
    done = subprocess.run([nginx, "-t", "-c", str(place)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_guide_names_every_route_and_key(repository: Path) -> None:
    text = (repository / "docs" / "serving.md").read_text()
    left_out = {"required", "where_columns", "chunk_rows", "target"}
    for section in ("auth", "limits", "replicas"):
        fields = ServiceConfig.model_fields[section].annotation.model_fields  # type: ignore[union-attr]
        missing = [name for name in set(fields) - left_out if name not in text]
        assert not missing, (section, missing)
    for route in ("/v1/models", "/samples", "/v1/jobs", "/v2/health/live", "/metrics", "/openapi.json"):
        assert route in text
