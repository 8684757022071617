"""Files of JSON lines that are there whole or not at all: an annotator's labels, shard by shard, and the questions.

The last line of a shard is `{"lines": n, "sha256": ...}` about the lines before it, so that one that was damaged later
is told from one that is whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lynx_cl.registry.canonical import canonical
from lynx_cl.registry.faults import fault_point


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file, whole or not at all, whenever the process or the machine stops."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=".unfinished-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fault_point("scout-shard-written")
        os.replace(scratch, path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise


def clear_unfinished(folder: Path) -> None:
    """Removes what a killed process left in a folder."""
    for path in folder.glob(".unfinished-*"):
        path.unlink(missing_ok=True)


def line(value: Any) -> bytes:
    """A record as a line: the same record, the same bytes."""
    return canonical(value) + b"\n"


def write_shard(path: Path, records: Iterable[Any]) -> None:
    """Writes a shard with its last line."""
    lines = [line(one) for one in records]
    body = b"".join(lines)
    write_whole(path, body + line({"lines": len(lines), "sha256": hashlib.sha256(body).hexdigest()}))


def whole(path: Path, count: int) -> bool:
    """Whether a shard is there, with so many records, as it was written."""
    try:
        data = path.read_bytes()
        start = data.rindex(b"\n", 0, len(data) - 1) + 1 if data.count(b"\n") > 1 else 0
        end = json.loads(data[start:])
    except (FileNotFoundError, ValueError):
        return False
    return bool(end == {"lines": count, "sha256": hashlib.sha256(data[:start]).hexdigest()})


def read_shard(path: Path) -> Iterator[Any]:
    """The records of a shard."""
    with path.open("rb") as file:
        previous = None
        for row in file:
            if previous is not None:
                yield json.loads(previous)
            previous = row
