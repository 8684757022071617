"""Crash injection: named points between file operations where a test can have the process killed.

LYNX_CL_FAULT=NAME kills this process with SIGKILL when it first passes the point NAME; NAME:3 at the third passing.
Without the variable a point costs one look-up.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

VARIABLE = "LYNX_CL_FAULT"
_passed: Counter[str] = Counter()


def fault_point(name: str) -> None:
    """Die here without any clean-up if the environment asks for it."""
    wanted = os.environ.get(VARIABLE)
    if wanted is None:
        return
    _passed[name] += 1
    point, _, count = wanted.partition(":")
    if point == name and _passed[name] == int(count or 1):
        os.kill(os.getpid(), signal.SIGKILL)
