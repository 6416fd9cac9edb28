"""`fingan serve` as a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def started(registry: Path, state: Path, *words: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run the command; give its URL and process."""
    command = [sys.executable, "-m", "fingan", "serve", "--registry", str(registry), "--port", "0", "--json"]
    env = {**os.environ, "XDG_STATE_HOME": str(state)}
    env.pop("FINGAN_TOKEN_FILE", None)
    with subprocess.Popen(
        [*command, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, process.stderr.read() if process.stderr else ""
            yield json.loads(line)["url"], process
        finally:
            process.kill()
