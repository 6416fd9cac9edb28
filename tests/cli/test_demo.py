"""The demo as a new user runs it: real table, two Ray Train workers, its own checks, under five minutes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_demo_passes_its_own_checks_in_five_minutes(tmp_path: Path) -> None:
    started = time.monotonic()
    words = [sys.executable, "-m", "fingan", "demo", "--json"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=590, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert time.monotonic() - started < 300
    result = json.loads(done.stdout)
    assert all(check["passed"] for check in result["checks"].values())
    assert pq.read_table(tmp_path / "synthetic.parquet").num_rows > 7_000
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Detection AUC" in page
    # Self-contained: nothing is fetched.
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
