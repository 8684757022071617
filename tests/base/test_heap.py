"""Freed memory goes back to the system."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lynx_cl.base import heap

PROGRAM = """
import psutil, torch
from lynx_cl.base.heap import give_back
held = lambda: psutil.Process().memory_info().rss / 2**20
parts = [torch.ones(15_000) for _ in range(4000)]  # 60 kB each, which the C library cuts from one piece
last = parts[-1]
del parts
before = held()
give_back()
print(before - held())
"""


def test_what_is_freed_below_something_held_is_given_back() -> None:
    if heap._trim() is None:
        pytest.skip("the C library is not glibc")
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert float(done.stdout) > 100  # of some 230 MB


@pytest.mark.parametrize("library", [object(), OSError("no way to reach it")])
def test_another_c_library_is_left_alone(library: object, monkeypatch: pytest.MonkeyPatch) -> None:
    def reach(name: None) -> object:
        if isinstance(library, OSError):
            raise library
        return library

    monkeypatch.setattr(heap.ctypes, "CDLL", reach)
    heap._trim.cache_clear()
    assert heap._trim() is None and heap.give_back() is None
    heap._trim.cache_clear()
