"""The README's commands exist, and those marked for testing run.

A comment `<!-- test: fast -->` or `<!-- test: slow -->` above a bash or Python block marks it; marked
blocks run from top to bottom in one folder that holds the lending table as `loans.parquet`.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from fingan.config import from_mapping

README = Path(__file__).resolve().parents[2] / "README.md"
_BLOCK = re.compile(r"(?:<!-- test: (fast|slow) -->\n)?```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BIN = Path(sys.executable).parent


class Block(NamedTuple):
    """A fenced block: `speed` is empty where it is not marked for testing."""

    speed: str
    language: str
    text: str


def blocks() -> list[Block]:
    """Return the README's fenced blocks in order."""
    return [Block(*groups) for groups in _BLOCK.findall(README.read_text(encoding="utf-8"))]


def commands() -> list[list[str]]:
    """Return the words of every `fingan …` line in the README's bash blocks."""
    lines = [
        line for b in blocks() if b.language == "bash" for line in b.text.replace("\\\n", " ").splitlines()
    ]
    words = [shlex.split(line, comments=True) for line in lines]
    return [w for w in words if w and w[0] == "fingan"]


def run(
    words: list[str], folder: Path | None = None, limit_s: float = 120
) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "200",
        "NO_COLOR": "1",
    }
    return subprocess.run(
        words, capture_output=True, text=True, cwd=folder, timeout=limit_s, check=False, env=environment
    )


@cache
def help_of(*verbs: str) -> str:
    """Return `fingan VERB… --help`."""
    done = run([str(BIN / "fingan"), *verbs, "--help"])
    assert done.returncode == 0, done.stderr
    return done.stdout


def has_word(text: str, word: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text) is not None


def test_the_extraction_finds_the_blocks():
    found = blocks()
    assert {b.language for b in found} == {"bash", "python", "yaml"}
    assert {b.speed for b in found} == {"", "fast", "slow"}
    assert README.read_text(encoding="utf-8").count("```") == 2 * len(found)
    assert {"init", "check", "train", "sample", "evaluate", "models"} <= {c[1] for c in commands()}


def test_the_first_screen_holds_the_two_commands():
    first_screen = README.read_text(encoding="utf-8").splitlines()[:40]
    assert any(line.startswith("make demo") for line in first_screen)
    assert any(line.startswith("make test") for line in first_screen)


def test_every_make_target_in_the_readme_exists():
    text = README.read_text(encoding="utf-8")
    targets = set(re.findall(r"`make\s+(\w+)`", text)) | set(re.findall(r"^make (\w+)", text, re.MULTILINE))
    makefile = README.with_name("Makefile").read_text(encoding="utf-8")
    assert targets >= {"demo", "test", "env", "lint"}
    assert targets <= set(re.findall(r"^(\w+):", makefile, re.MULTILINE))


def test_every_configuration_in_the_readme_is_valid():
    for block in blocks():
        if block.language == "yaml":
            from_mapping(yaml.safe_load(block.text))


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_verb_and_option_in_the_readme_exists(words):
    verbs = words[1:3] if words[1] == "models" else words[1:2]
    for depth, verb in enumerate(verbs):
        assert has_word(help_of(*verbs[:depth]), verb)
    options = [w.partition("=")[0] for w in words if re.match(r"--?[a-z]", w)]
    for option in options:
        assert has_word(help_of(*verbs), option)


def _run_marked(folder: Path, speeds: set[str]) -> None:
    for block in blocks():
        if block.speed not in speeds:
            continue
        if block.language == "python":
            words = [sys.executable, "-c", block.text]
        else:
            words = ["bash", "-euo", "pipefail", "-c", block.text]
        done = run(words, folder, limit_s=900)
        assert done.returncode == 0, f"{block.text}\n{done.stdout}\n{done.stderr}"


@pytest.fixture
def loans_folder(tmp_path):
    """A folder with the shipped lending table as `loans.parquet`."""
    from fingan.data.demo import demo_table_path

    (tmp_path / "loans.parquet").write_bytes(demo_table_path().read_bytes())
    return tmp_path


def test_the_fast_blocks_run(loans_folder):
    _run_marked(loans_folder, {"fast"})
    assert (loans_folder / "fingan.yaml").is_file()


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(1800)
def test_all_marked_blocks_run(loans_folder):
    _run_marked(loans_folder, {"fast", "slow"})
    assert (loans_folder / "report.html").stat().st_size > 10_000
