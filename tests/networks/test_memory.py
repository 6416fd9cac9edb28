import ctypes
import sys

import pytest

from fingan.networks import keep_freed_memory


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc has mallopt")
def test_glibc_takes_the_setting():
    if getattr(ctypes.CDLL(None), "gnu_get_libc_version", None) is None:
        pytest.skip("the C library is not glibc")
    assert keep_freed_memory()


def test_other_allocators_are_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert not keep_freed_memory()
