"""The command line in processes of its own, and settings that make an add short."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from lynx_cl.registry import faults

SHORT = [
    "train.steps=4",
    "train.val_every=2",
    "data.limit=12",
    "evaluation.examples=12",
    "evaluation.understanding=24",
    "pictures_per_batch=4",
]


ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def lynx(
    *arguments: str, home: Path, check: bool = True, fault: str | None = None, file_limit: int | None = None
) -> subprocess.CompletedProcess[str]:
    """One command in a process of its own.

    `fault` names a point to be killed at, `file_limit` the largest file in bytes that it may write, as on a full disk.
    """

    def limit() -> None:
        if file_limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))

    done = subprocess.run(
        [sys.executable, "-m", "lynx_cl", *arguments, "--home", str(home)],
        capture_output=True,
        text=True,
        cwd=home.parent,
        env={**ENVIRONMENT, **({faults.VARIABLE: fault} if fault else {})},
        preexec_fn=limit,
    )
    if check:
        assert done.returncode == 0, done.stderr
    return done


def add(home: Path, *more: str, check: bool = True, **how: Any) -> subprocess.CompletedProcess[str]:
    """A short add of grounding."""
    return lynx("add-task", "grounding", "--data", "scout", "--json", *more, *SHORT, home=home, check=check, **how)
