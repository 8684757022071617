"""File writes that survive a crash: whole or not at all, and on the disk before the call returns.

The order is the classic one (write, fsync, rename, fsync the folder; Pillai et al. 2014, "All File Systems Are Not
Created Equal"): without the first fsync a renamed file may be empty after a power cut, without the second the rename
itself may be lost.
"""

from __future__ import annotations

import os
from pathlib import Path

from lynx_cl.registry import faults
from lynx_cl.registry.scratch import own_name


def write_whole(path: Path, data: bytes, *, scratch: Path, what: str) -> None:
    """Put `data` at `path`, replacing what is there, so that a reader sees all of the old or all of the new.

    `scratch` is a folder on the same filesystem for the unfinished file; `what` names the fault points. Raises OSError.
    """
    make_folder(scratch)
    make_folder(path.parent)
    unfinished = scratch / own_name(what)
    faults.fault_point(f"{what}.begin")
    try:
        with open(unfinished, "xb") as file:
            file.write(data)
            file.flush()
            faults.fault_point(f"{what}.written")
            os.fsync(file.fileno())
        faults.fault_point(f"{what}.synced")
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    faults.fault_point(f"{what}.renamed")
    sync_folder(path.parent)
    faults.fault_point(f"{what}.done")


def write_new(path: Path, data: bytes, *, what: str, mode: int = 0o644) -> None:
    """Put `data` at `path`, where nothing may be yet, whole or not at all. Raises FileExistsError, OSError."""
    unfinished = path.with_name(f".{path.name}.{own_name(what)}")
    faults.fault_point(f"{what}.begin")
    try:
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
            file.flush()
            faults.fault_point(f"{what}.written")
            os.fsync(file.fileno())
        os.link(unfinished, path)  # unlike a rename, this never replaces a file
    finally:
        unfinished.unlink(missing_ok=True)
    sync_folder(path.parent)
    faults.fault_point(f"{what}.done")


def append_line(path: Path, line: bytes, *, what: str) -> None:
    """Add one line to a file and fsync it; a line torn by an earlier crash is closed first. Raises OSError."""
    new = not path.exists()
    faults.fault_point(f"{what}.begin")
    with open(path, "ab+") as file:
        if file.tell() > 0:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(line + b"\n")
        file.flush()
        faults.fault_point(f"{what}.written")
        os.fsync(file.fileno())
    if new:
        sync_folder(path.parent)
    faults.fault_point(f"{what}.done")


def make_folder(path: Path) -> None:
    """Make a folder and its parents, each of them on the disk before the next. Raises OSError."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Bring the names in a folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
