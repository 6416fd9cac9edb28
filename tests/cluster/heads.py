"""A Ray head of its own, started and ended as an operator would, with a token."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.processes import family

REPOSITORY = Path(__file__).resolve().parents[2]
START_SECONDS = 90


@dataclass(frozen=True)
class Head:
    """A running head.

    Attributes:
        address: `host:port` to join.
        dashboard: URL to submit to.
        env: of processes that know its token.
    """

    address: str
    dashboard: str
    env: dict[str, str]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def head(folder: Path, cpus: int = 4, *, token: bool = True) -> Iterator[Head]:
    """Start a head on loopback and end all its processes afterwards."""
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    env |= {"RAY_AUTH_MODE": "token" if token else "disabled", "PYTHONPATH": str(REPOSITORY)}
    if token:
        path = folder / "token"
        path.write_text(secrets.token_hex(32))
        path.chmod(0o600)
        env["RAY_AUTH_TOKEN_PATH"] = str(path)
    port, dashboard, agent = free_port(), free_port(), free_port()
    url = f"http://127.0.0.1:{dashboard}"
    command = ["ray", "start", "--head", "--block", "--node-ip-address=127.0.0.1", f"--port={port}"]
    command += [f"--dashboard-port={dashboard}", "--dashboard-host=127.0.0.1", f"--num-cpus={cpus}"]
    # Jobs go through the node's agent; its usual port may belong to another Ray on this machine.
    command += [f"--dashboard-agent-listen-port={agent}"]
    # A socket's path has at most 107 bytes, and pytest's folders are deep.
    with tempfile.TemporaryDirectory(prefix="head-", ignore_cleanup_errors=True) as short:
        command += ["--disable-usage-stats", "--object-store-memory=200000000", f"--temp-dir={short}"]
        with (folder / "head.log").open("w") as log:
            process = psutil.Popen(command, env=env, stdout=log, stderr=log)
        try:
            _wait(url, process, folder / "head.log")
            yield Head(f"127.0.0.1:{port}", url, env)
        finally:
            _end(process)


def _wait(url: str, process: psutil.Popen, log: Path) -> None:
    limit = time.monotonic() + START_SECONDS
    while time.monotonic() < limit and process.poll() is None:
        with suppress(OSError):
            try:
                urllib.request.urlopen(f"{url}/api/jobs/", timeout=5)
            except urllib.error.HTTPError as answer:
                if answer.code != 401:
                    time.sleep(0.5)
                    continue
            return
        time.sleep(0.5)
    raise RuntimeError(f"the head did not start:\n{log.read_text()[-3000:]}")


def _end(process: psutil.Popen) -> None:
    """End a head and everything that it started: its agents outlive it for a while."""
    children = family(process)
    with suppress(psutil.NoSuchProcess):
        process.terminate()
    with suppress(subprocess.TimeoutExpired, psutil.TimeoutExpired):
        process.wait(3)
    for child in [*children, process]:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    psutil.wait_procs([*children, process], timeout=10)
