"""`fingan serve` as a user starts it: where its token lies, whom it lets in, and how it ends."""

from __future__ import annotations

import json
import signal
import stat
import time
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.dataset
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa

import fingan
from fingan.cli.app import run
from fingan.cli.serve import service_configuration
from tests import tiny
from tests.cli.serving import started
from tests.service.providers import ISSUER, Provider, public, token
from tests.service.services import publish


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serve")
    (folder / "bundles").mkdir()
    publish(folder / "registry", "tiny", tiny.generator(), folder / "bundles")
    return folder / "registry"


def test_from_start_to_end(registry: Path, tmp_path: Path) -> None:
    """Without Ray: a token is made, the client is let in by it, a job is done, Ctrl-C ends it all."""
    with started(registry, tmp_path, "--replicas", "0") as (url, process):
        place = tmp_path / "fingan" / "token"
        assert stat.S_IMODE(place.stat().st_mode) == 0o600
        token = place.read_text().strip()
        assert requests.get(f"{url}/v1/models", timeout=10).status_code == 401
        client = fingan.Client(url, token)
        wanted = tiny.generator().sample(3000, {"label": "bad"}, seed=4)
        assert client.table("tiny", 3000, {"label": "bad"}, seed=4).equals(wanted)
        assert list(client.sample("tiny", 2, columns=["age"]).columns) == ["age"]
        job = client.start_job("tiny", 40_000, partition_rows=20_000, seed=4)
        done = client.wait(job["id"], timeout=60, every=0.2)
        assert (done["status"], done["parts_done"], done["rows_done"]) == ("done", 2, 40_000)
        rows = pa.dataset.dataset(registry / ".samples" / job["id"] / "rows").to_table()
        assert rows.equals(tiny.generator().sample(40_000, seed=4))
        assert [one["name"] for one in client.models()] == ["tiny"]
        process.send_signal(signal.SIGINT)
        assert process.wait(40) in (0, 130)
    with started(registry, tmp_path, "--replicas", "0") as (url, process):
        assert place.read_text().strip() == token
        assert [one["id"] for one in fingan.Client(url, token).jobs()] == [job["id"]]
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) in (0, 130)


def test_tokens_of_an_identity_provider_are_believed(registry: Path, tmp_path: Path) -> None:
    key, provider = rsa.generate_private_key(65537, 2048), Provider()
    provider.publish(public(key, "first"))
    config = tmp_path / "service.yaml"
    oidc = {"issuer": ISSUER, "audience": "fingan", "keys_url": provider.url}
    config.write_text(json.dumps({"registry": str(registry), "auth": {"oidc": oidc}}))
    words = ["--replicas", "0", "--config", str(config)]
    with provider.answering(), started(registry, tmp_path, *words) as (url, _):
        signed = {"Authorization": f"Bearer {token(key)}"}
        assert requests.get(f"{url}/v1/models", headers=signed, timeout=10).status_code == 200
        foreign = {"Authorization": f"Bearer {token(rsa.generate_private_key(65537, 2048))}"}
        assert requests.get(f"{url}/v1/models", headers=foreign, timeout=10).status_code == 401
    assert not (tmp_path / "fingan" / "token").exists(), "a token was made although a provider is configured"


@pytest.mark.slow
@pytest.mark.ray
def test_with_replicas_on_ray(registry: Path, tmp_path: Path) -> None:
    with started(registry, tmp_path, "--no-auth") as (url, process):
        found = fingan.Client(url).table("tiny", 20_000, seed=2)
        assert found.equals(tiny.generator().sample(20_000, seed=2))
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) in (0, 130)
        assert time.monotonic() - began < 45


def test_tokens_are_added_and_shown_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "tokens.yaml"
    assert run(["serve", "--add-token", "analytics", "--token-file", str(place)]) == 0
    token = capsys.readouterr().out.strip()
    assert token.startswith("fingan_")
    assert token not in place.read_text()
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert run(["serve", "--add-token", "analytics", "--token-file", str(place)]) == 2
    assert "already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--no-auth", "--host", "0.0.0.0"], "--no-auth"),
        (["--token-file", "nothing.yaml"], "nothing.yaml"),
        (["--set", "limits.strems=3"], "'limits.streams'"),
        (["--set", "replicas.fewest=9"], "replicas.most"),
        (["--add-token", "x"], "--token-file"),
        (["--no-auth", "--host", "203.0.113.7"], "--no-auth"),
        (["--set", "auth.required=false", "--host", "0.0.0.0"], "auth.required: false"),
    ],
)
def test_what_cannot_be_is_refused(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FINGAN_TOKEN_FILE", raising=False)
    assert run(["serve", "--replicas", "0", *words]) == 2
    assert said in capsys.readouterr().err


def test_gpus_that_replicas_cannot_get_are_refused(
    registry: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fingan.cluster import session

    fake = SimpleNamespace(
        is_initialized=lambda: False,
        init=lambda **arguments: None,
        cluster_resources=lambda: {"CPU": 2.0, "GPU": 1.0},
        shutdown=lambda: None,
    )
    monkeypatch.setattr(session, "ray", fake)
    words = ["--replicas", "3", "--set", "replicas.gpus=0.5", "--registry", str(registry)]
    assert run(["serve", "--no-auth", *words]) == 2
    assert "1.5 GPUs are asked for and this machine has 1" in capsys.readouterr().err


def test_a_port_that_is_taken(registry: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert (
            run(["serve", "--no-auth", "--replicas", "0", "--port", port, "--registry", str(registry)]) == 2
        )
    assert port in capsys.readouterr().err


def test_options_that_are_given_hold_and_others_leave_the_file_its_own(tmp_path: Path) -> None:
    file = tmp_path / "service.yaml"
    file.write_text("registry: /models\nreplicas: {fewest: 2, most: 8}\n")
    own = service_configuration(file, None, None, None)
    assert (own.registry, own.replicas.fewest, own.replicas.most) == ("/models", 2, 8)
    given = service_configuration(file, ["replicas.most=4"], "/it's other", 3)
    assert (given.registry, given.replicas.fewest, given.replicas.most) == ("/it's other", 3, 4)
    plain = service_configuration(None, None, None, None)
    assert (plain.registry, plain.replicas.fewest, plain.replicas.most) == (
        str(Path("registry").absolute()),
        1,
        1,
    )
    for url in ("s3://bucket/models", "file:///models", "file:/models"):
        assert service_configuration(file, None, url, 0).registry == url
