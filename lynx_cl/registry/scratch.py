"""Files not yet complete, and whose they are: what a killed writer left is told from what a running one needs."""

from __future__ import annotations

import os
import platform
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lynx_cl.registry.canonical import sha256

STALE_SECONDS = 24 * 3600.0  # a file of a process that cannot be asked is given up after a day
WRITER = "writer"


def own_name(what: str) -> str:
    """A name for an unfinished file of this process, that no other process uses: what it is, process, machine."""
    return f"{what}-{os.getpid()}-{_machine()}-{uuid.uuid4().hex}"


@contextmanager
def writing(scratch: Path) -> Iterator[None]:
    """Says in `scratch` that this process writes objects which no snapshot names yet, so that none is collected."""
    scratch.mkdir(parents=True, exist_ok=True)
    claim = scratch / own_name(WRITER)
    claim.touch()
    try:
        yield
    finally:
        claim.unlink(missing_ok=True)


def someone_writes(scratch: Path) -> bool:
    """Whether a running process has said so."""
    return any(not abandoned(path) for path in scratch.glob(f"{WRITER}-*"))


def abandoned(path: Path) -> bool:
    """Whether an unfinished file belongs to no running process.

    A process of another machine, which may share the folder, cannot be asked: its files are given up after a day.
    """
    try:
        age = time.time() - path.stat().st_mtime
        _, process, machine, _ = path.name.split("-")
        if age > STALE_SECONDS or machine != _machine():
            return age > STALE_SECONDS
        os.kill(int(process), 0)
    except (ProcessLookupError, ValueError):
        return True
    except (FileNotFoundError, PermissionError, OverflowError):
        return False
    return False


def _machine() -> str:
    return sha256(platform.node().encode())[:8]
