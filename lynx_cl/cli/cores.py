"""Cores that other processes use too: what must be settled before torch is imported."""

from __future__ import annotations

import os

POLICY, SPIN = "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"
SPINS_BEFORE_SLEEP = "10000"  # GNU's OpenMP has 300,000: some milliseconds, in which whoever is waited for has no core


def share_cores() -> None:
    """Let threads of this process and its children sleep soon when they wait, unless the user has chosen otherwise.

    Beside two busy processes on two cores training was 1.6 times as fast by it, and 0.97 times where nothing else ran
    (`benchmarks/shared_cores.py`).
    """
    if POLICY not in os.environ:
        os.environ.setdefault(SPIN, SPINS_BEFORE_SLEEP)
