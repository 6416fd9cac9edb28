"""Generated requests, good and bad: no 5xx, no answer that the documentation lacks, no way round a token."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.service.services import TOKEN, Service

HOOKS = "tests.service.fuzz_hooks"


def _fuzz(running: Service, repository: Path, folder: Path, examples: int) -> int:
    """Let schemathesis make requests; return how many it made."""
    command = [str(Path(sys.executable).parent / "schemathesis"), "run", f"{running.url}/openapi.json"]
    command += ["--header", f"Authorization: Bearer {TOKEN}", "--max-examples", str(examples), "--seed", "7"]
    # A condition can fit the documentation and no row of the model: 422 is right then.
    command += ["--exclude-checks", "positive_data_acceptance", "--no-color", "--request-timeout", "30"]
    env = {**os.environ, "SCHEMATHESIS_HOOKS": HOOKS, "PYTHONPATH": str(repository)}
    done = subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    found = re.search(r"([\d,]+) generated", done.stdout)
    assert found is not None, done.stdout[-2000:]
    return int(found[1].replace(",", ""))


def test_generated_requests(running: Service, repository: Path, tmp_path: Path) -> None:
    assert _fuzz(running, repository, tmp_path, 8) >= 300


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_thousand_generated_requests(running: Service, repository: Path, tmp_path: Path) -> None:
    assert _fuzz(running, repository, tmp_path, 110) >= 2000
