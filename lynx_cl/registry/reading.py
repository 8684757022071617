"""Reading a registry: its head, snapshots, tasks, log. No lock is needed, since nothing that is read ever changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from lynx_cl.errors import LynxError, UsageError
from lynx_cl.registry import log
from lynx_cl.registry.canonical import sha256
from lynx_cl.registry.objects import ObjectStore
from lynx_cl.registry.snapshot import DIGEST, AddRecord, Snapshot, TaskEntry, TaskManifest
from lynx_cl.registry.tree import TaskMap
from lynx_cl.registry.views import Model, Row, TaskVersion, parse, row

Found = TypeVar("Found")
Rows = list[Row]
History = list[log.LogEntry]


class RegistryReader:
    """What is at `path`, which need not exist yet: then there is no task."""

    BEGINNING = "beginning"

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.objects = ObjectStore(self.path / "objects" / "sha256", self.scratch)

    @property
    def scratch(self) -> Path:
        """Folder of files not yet complete; what a crash left there is of no use to anyone."""
        return self.path / "tmp"

    @property
    def snapshots(self) -> Path:
        return self.path / "snapshots"

    def head_digest(self) -> str | None:
        """Digest of the current snapshot; None where there is no registry. Raises LynxError for a damaged head."""
        path = self.path / "head"
        try:
            text = path.read_bytes().decode("ascii", "replace")
        except FileNotFoundError:
            if any(entry.parent for entry in log.read(self.path / "log").values()):
                raise LynxError(
                    f"{path}: missing, though the log has commits; put back the last digest in it"
                ) from None
            return None
        if not (text.endswith("\n") and DIGEST.fullmatch(text[:-1])):
            raise LynxError(f"{path}: holds no digest; put back the last one of {self.path / 'log'}")
        return text[:-1]

    def exists(self) -> bool:
        """Whether `init` has been done here."""
        return self.head_digest() is not None

    def head(self) -> Snapshot:
        """The current snapshot. Raises LynxError if there is none or it is damaged."""
        digest = self.head_digest()
        if digest is None:
            raise LynxError(f"{self.path}: there is no registry yet; 'lynx-cl add-task' makes one")
        return self.snapshot(digest)

    def snapshot(self, digest: str) -> Snapshot:
        """The snapshot of a digest. Raises LynxError where it is missing, altered or of an unknown format."""
        path = self.snapshots / f"{digest}.json"
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise LynxError(f"{path}: the snapshot is missing; run 'lynx-cl registry verify'") from None
        if sha256(data) != digest:
            raise LynxError(f"{path}: the snapshot's bytes have changed; run 'lynx-cl registry verify'")
        return parse(Snapshot, data, path)

    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks in canonical order; empty where there is no registry."""
        return self._steady(lambda: tuple(self.entries()) if self.exists() else ())

    def entries(self, snapshot: Snapshot | None = None) -> TaskMap:
        """The tasks of a snapshot, by default the head. Raises LynxError where there is none."""
        return TaskMap(self.objects, (snapshot or self.head()).tasks)

    def task(self, address: str) -> TaskVersion:
        """The current version of `name`, or the one addressed by `name@2`. Raises UsageError for an unknown one."""
        return self._steady(lambda: self._task(address))

    def _task(self, address: str) -> TaskVersion:
        entries = self.entries()
        name, _, number = address.partition("@")
        entry = entries.get(name)
        if entry is None:
            known = brief(entries) or "none yet"
            raise UsageError(f"task {name!r} is not in {self.path}; known: {known}")
        version = entry.current if not number else int(number) if number.isdecimal() else 0
        if version not in entry.versions:
            known = ", ".join(f"{name}@{n}" for n in sorted(entry.versions))
            raise UsageError(f"task {name!r} has no version {number!r} in {self.path}; known: {known}")
        return self.task_of(name, entry, version)

    def task_of(self, name: str, entry: TaskEntry, version: int | None = None) -> TaskVersion:
        """A version of an entry, by default the current one, with its manifest and record."""
        version = version or entry.current
        digests = entry.versions[version]
        return TaskVersion(
            task=name,
            version=version,
            current=version == entry.current,
            digest=digests.manifest,
            manifest=self._stored(TaskManifest, digests.manifest),
            record=self._stored(AddRecord, digests.record),
        )

    def read(self, digest: str) -> bytes:
        """The bytes of an object, checked. Raises LynxError where they are missing or changed."""
        return self.objects.get(digest)

    def list(self) -> Rows:
        """The current version of every task, by name."""
        return self._steady(self._rows)

    def _rows(self) -> Rows:
        if not self.exists():
            return []
        head = self.head()
        return [row(name, entry, head.base.name) for name, entry in self.entries(head).all().items()]

    def log(self) -> History:
        """The commits that led to the head, the first one first."""
        return self._steady(self._history)

    def _history(self) -> History:
        entries = log.read(self.path / "log")
        chain: History = []
        digest = self.head_digest()
        while digest is not None:
            chain.append(entries.get(digest) or log.LogEntry.of(self.snapshot(digest)))
            digest = chain[-1].parent
        return chain[::-1]

    def beginning(self) -> str | None:
        """The oldest snapshot that a collection kept, as its file says; None where all are kept."""
        try:
            return (self.path / self.BEGINNING).read_bytes().decode("ascii", "replace").removesuffix("\n")
        except FileNotFoundError:
            return None

    def _steady(self, read: Callable[[], Found]) -> Found:
        """What `read` finds at the head; again at the next head where that of before was collected while it read."""
        while True:
            head = self.head_digest()
            try:
                return read()
            except LynxError:
                if self.head_digest() == head:
                    raise

    def _stored(self, model: type[Model], digest: str) -> Model:
        return parse(model, self.read(digest), self.objects.path(digest))


def brief(names: Iterable[str], most: int = 12) -> str:
    """Names for a message, the first few of many.

    >>> brief(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    listed = list(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more
