"""Rows do not depend on how many threads torch is set to; the setting is put back."""

from __future__ import annotations

import subprocess
import sys
import threading

import torch

from fingan.generator.threads import OneThread

SCRIPT = """
import hashlib, sys, torch
from tests.tiny import generator
made = generator()
torch.set_num_threads(int(sys.argv[1]))
set_to = torch.get_num_threads()
def digest(threads):
    rows = made.sample(5000, seed=3, threads=threads)
    return hashlib.sha256(repr(rows.to_pydict()).encode()).hexdigest()
raw = made.engine.raw(made.engine.draw(0, "sample", 0).normal, None, None)
bytes_of = raw.numbers.tobytes() + raw.logits.tobytes()
print(set_to, torch.get_num_threads(), digest(1) == digest(3), hashlib.sha256(bytes_of).hexdigest())
"""


def _run(threads: int) -> list[str]:
    words = [sys.executable, "-c", SCRIPT, str(threads)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout.split()


def test_rows_do_not_depend_on_torchs_threads() -> None:
    one, many = _run(1), _run(4)
    assert one[:3] == ["1", "1", "True"]
    assert many[:3] == ["4", "4", "True"]
    assert one[3] == many[3]


def test_the_last_one_out_puts_the_setting_back() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        guard, seen, inside, leave = OneThread(), [], threading.Event(), threading.Event()

        def other() -> None:
            with guard():
                seen.append(torch.get_num_threads())
                inside.set()
                leave.wait(10)

        thread = threading.Thread(target=other)
        with guard():
            thread.start()
            assert inside.wait(10)
            assert torch.get_num_threads() == 1
        leave.set()
        thread.join()
        assert seen == [1]
        torch.set_num_threads(torch.get_num_threads())
        with guard():
            assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
