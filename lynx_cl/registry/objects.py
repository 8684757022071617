"""Content-addressed objects: bytes named by their sha256, written once, checked whenever they are read."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lynx_cl.errors import LynxError
from lynx_cl.registry.canonical import sha256
from lynx_cl.registry.durable import write_whole

SETTLED = 2 * 10**9  # ns: a file changed more lately than this may change again without its times telling

Identity = tuple[int, int, int, int, int]
_checked: dict[str, Identity] = {}


@dataclass(frozen=True)
class ObjectStore:
    """The objects below `folder`, as `ab/cdef...` after the digest; `scratch` holds files not yet complete."""

    folder: Path
    scratch: Path

    def path(self, digest: str) -> Path:
        """Where the object of this digest lies, or would lie."""
        return self.folder / digest[:2] / digest[2:]

    def put(self, data: bytes) -> str:
        """Store bytes and return their digest. What is there already is kept; if it was damaged, it is mended."""
        digest = sha256(data)
        path = self.path(digest)
        if not (path.is_file() and path.read_bytes() == data):
            write_whole(path, data, scratch=self.scratch, what="object")
        return digest

    def get(self, digest: str) -> bytes:
        """The bytes of a digest. Raises LynxError where the object is missing or its bytes have changed.

        A file that this process has checked, and that the file system says is untouched since, is not hashed again
        (`verify` hashes every one).
        """
        path = self.path(digest)
        try:
            with path.open("rb") as file:
                identity = _identity(os.fstat(file.fileno()))
                data = file.read()
        except FileNotFoundError:
            raise LynxError(f"{path}: the object is missing; run 'lynx-cl registry verify'") from None
        if _checked.get(digest) == identity:
            return data
        if sha256(data) != digest:
            _checked.pop(digest, None)
            raise LynxError(f"{path}: the object's bytes have changed; run 'lynx-cl registry verify'")
        if time.time_ns() - max(identity[3:]) > SETTLED:
            _checked[digest] = identity
        return data

    def size(self, digest: str) -> int:
        """How many bytes an object has. Raises LynxError where it is missing."""
        path = self.path(digest)
        try:
            return path.stat().st_size
        except FileNotFoundError:
            raise LynxError(f"{path}: the object is missing; run 'lynx-cl registry verify'") from None

    def __iter__(self) -> Iterator[Path]:
        """Every file below the folder, in order of name."""
        return (path for path in sorted(self.folder.glob("*/*")) if path.is_file())


def _identity(found: os.stat_result) -> Identity:
    """What changes when a file is replaced, written to or given other times."""
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
