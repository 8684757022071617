"""Indexes of large files of records, kept in the user's cache folder, so that a file is gone through once.

An index is kept under the digest of what it is a function of: the files' paths, sizes and times, and what was asked.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lynx_cl.registry.canonical import canonical, sha256

LARGE = 1 << 26  # bytes of all files together, from which on an index is worth keeping
FORMAT = 1


def cache_folder() -> Path:
    """Where indexes are kept; a folder that may be deleted at any time."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("lynx-cl", appauthor=False)) / "records"


def load_index(facts: Sequence[Any], paths: Sequence[Path]) -> dict[str, Any] | None:
    """The arrays and the tally of an index, None where none is kept or it cannot be read."""
    place = _place(facts, paths)
    if place is None:
        return None
    try:
        with np.load(place, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in ("offset", "length", "part", "split")}
            return {**arrays, "tally": json.loads(bytes(stored["tally"]).decode())}
    except (OSError, ValueError, KeyError, EOFError):
        return None


def store_index(facts: Sequence[Any], paths: Sequence[Path], arrays: Mapping[str, Any], tally: Sequence[Any]) -> None:
    """Keeps an index, whole or not at all; a cache that cannot be written is done without."""
    place = _place(facts, paths)
    if place is None:
        return
    with contextlib.suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, scratch = tempfile.mkstemp(dir=place.parent, suffix=".npz")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(file, tally=np.frombuffer(json.dumps(list(tally)).encode(), np.uint8), **arrays)
            os.replace(scratch, place)
        except BaseException:
            os.unlink(scratch)
            raise


def _place(facts: Sequence[Any], paths: Sequence[Path]) -> Path | None:
    """The file of an index; None where the files are small, or cannot be looked at."""
    try:
        stats = [path.stat() for path in paths]
    except OSError:
        return None
    if sum(stat.st_size for stat in stats) < LARGE:
        return None
    files = [[str(path.absolute()), s.st_size, s.st_mtime_ns] for path, s in zip(paths, stats, strict=True)]
    return cache_folder() / f"{sha256(canonical([FORMAT, files, list(facts)]))}.npz"
