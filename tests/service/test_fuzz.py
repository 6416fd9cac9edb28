"""Generated requests, good and bad: no 5xx, no answer that the documentation lacks, no way round a token."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from fingan.config import LimitsConfig
from fingan.service.jobs import JobBook
from tests.service.services import TOKEN, Service, service

HOOKS = "tests.service.fuzz_hooks"
ROWS = 20_000
"""Of an answer: without a limit nine tenths of the time went into answers of up to 10^8 rows."""


def _written(
    wanted: Mapping[str, Any],
    place: str,
    on_progress: Callable[[int, int, int], None],
    should_stop: Callable[[], bool],
) -> bool:
    """Write nothing, and say that it is done: jobs are started here, not worked at."""
    on_progress(wanted["rows"], 1, 1)
    return True


@pytest.fixture
def fuzzed(registry: Path, tmp_path: Path) -> Iterator[Service]:
    """A service with jobs whose answers are short."""
    book = JobBook(str(tmp_path / "jobs"), _written, LimitsConfig())
    try:
        with service(registry, jobs=book, limits={"rows": ROWS, "json_rows": ROWS // 2}) as found:
            yield found
    finally:
        book.close()


def _fuzz(fuzzed: Service, repository: Path, folder: Path, examples: int) -> int:
    """Let schemathesis make requests; return how many it made."""
    command = [str(Path(sys.executable).parent / "schemathesis"), "run", f"{fuzzed.url}/openapi.json"]
    command += ["--header", f"Authorization: Bearer {TOKEN}", "--max-examples", str(examples), "--seed", "7"]
    # A condition can fit the documentation and no row of the model: 422 is right then. And a job that
    # was cancelled is still there to be asked after.
    command += ["--exclude-checks", "positive_data_acceptance,use_after_free"]
    command += ["--no-color", "--request-timeout", "30"]
    env = {**os.environ, "SCHEMATHESIS_HOOKS": HOOKS, "PYTHONPATH": str(repository)}
    done = subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    found = re.search(r"([\d,]+) generated", done.stdout)
    assert found is not None, done.stdout[-2000:]
    return int(found[1].replace(",", ""))


def test_generated_requests(fuzzed: Service, repository: Path, tmp_path: Path) -> None:
    assert _fuzz(fuzzed, repository, tmp_path, 8) >= 300


@pytest.mark.slow
def test_two_thousand_generated_requests(fuzzed: Service, repository: Path, tmp_path: Path) -> None:
    assert _fuzz(fuzzed, repository, tmp_path, 150) >= 2000
