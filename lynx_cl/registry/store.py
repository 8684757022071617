"""The registry: transactions from one immutable snapshot to the next. Reading, in reading.py, needs no lock.

On disk, below one folder:

    objects/sha256/ab/cdef...   immutable content: weights, statistics, manifests, records, certificates
    snapshots/<digest>.json     immutable states
    head                        the digest of the current snapshot, replaced atomically
    log                         one line a commit
    beginning                   the oldest snapshot that was kept, once a collection has removed older ones
    signatures/                 of snapshots, where they were asked for (see sign.py)
    lock, tmp/                  held while the head is compared and swapped; files not yet complete

Objects reach the disk before the snapshot that names them, the snapshot before the log's line, that before the head. A
crash anywhere leaves the old head or the new one, and at worst files that nothing refers to.
"""

from __future__ import annotations

import getpass
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from lynx_cl.errors import LynxError, UsageError
from lynx_cl.registry import faults, log
from lynx_cl.registry.canonical import sha256
from lynx_cl.registry.certificate import Held, certify
from lynx_cl.registry.durable import make_folder, write_whole
from lynx_cl.registry.reading import RegistryReader
from lynx_cl.registry.scratch import writing
from lynx_cl.registry.snapshot import AddRecord, BaseRef, Snapshot, TaskEntry, TaskManifest, Version
from lynx_cl.registry.tree import TaskMap

LOCK_SECONDS = 60.0


class HeadMoved(LynxError):
    """Another process committed after the snapshot that this commit was measured against."""


class Registry(RegistryReader):
    """The registry at `path`, which need not exist yet: then it holds no task, and `init` makes it."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self._sums: dict[str, Held] = {}

    def init(
        self,
        base_fingerprint: str,
        base_name: str,
        *,
        files: Mapping[str, bytes] | None = None,
        router: dict[str, JsonValue] | None = None,
        command: str = "init",
    ) -> Snapshot:
        """Make the registry of one base, or return the head of the one that is there.

        `files` are objects that belong to the base (the `router` statistics of its own requests), `router` the router's
        configuration. Raises LynxError where the registry is another base's.
        """
        digests = {role: self.objects.put(data) for role, data in (files or {}).items()}
        base = BaseRef(name=base_name, fingerprint=base_fingerprint, files=digests)
        with self.locked():
            if self.exists():
                head = self.head()
                self.check_base(base_fingerprint, base_name, head)
                return head
            first = Snapshot(base=base, router=router or {}, time=now(), command=command, who=_who())
            first = self.certified(None, first)
            self._move_head(first)
            return first

    def check_base(self, fingerprint: str, name: str, snapshot: Snapshot | None = None) -> None:
        """Raises LynxError where the registry's banks (in `snapshot`, or else its head) fit another base."""
        theirs = (snapshot or self.head()).base
        if theirs.fingerprint != fingerprint:
            raise LynxError(
                f"{self.path}: its banks fit the base {theirs.name} ({theirs.fingerprint[:12]}), "
                f"not {name} ({fingerprint[:12]}); give that base, or another --home"
            )

    def add(
        self,
        manifest: TaskManifest,
        files: Mapping[str, bytes],
        record: AddRecord | None = None,
        *,
        record_files: Mapping[str, bytes] | None = None,
        update: bool = False,
        command: str = "add-task",
        expect: str | None = None,
    ) -> Snapshot:
        """Commit a new task, or with `update` the next version of one, in a single transaction.

        `files` (role: bytes; `bank` is required) complete the manifest, `record_files` the record; a role `certificate`
        among the latter becomes the snapshot's certificate. `expect` is the digest of the snapshot that the add was
        measured against. Raises HeadMoved where the head is another by now, LynxError where the task exists already (or
        does not, with `update`) or the base is another; nothing has changed then.
        """
        if "bank" not in files:
            raise ValueError("a task version needs a file of the role 'bank'")
        self._check_addable(self.head(), manifest, update)
        kept = {role: sha256(data) for role, data in (record_files or {}).items()}
        record = (record or AddRecord(created=now())).but(files=kept)
        manifest = manifest.but(files={role: sha256(data) for role, data in files.items()})
        contents = [*(record_files or {}).values(), *files.values(), manifest.to_bytes(), record.to_bytes()]
        version = Version.of(manifest, record)

        def with_task(parent: Snapshot) -> dict[str, Any]:
            self._check_addable(parent, manifest, update)
            for data in contents:  # what was there before this add may have been collected since it was put
                if not self.objects.path(sha256(data)).is_file():
                    self.objects.put(data)
            entries = self.entries(parent)
            before = entries[manifest.task].versions if update else {}
            number = max(before, default=0) + 1
            entry = TaskEntry(current=number, versions={**before, number: version})
            return {"tasks": entries.put(manifest.task, entry).root, "certificate": kept.get("certificate")}

        with writing(self.scratch):
            for data in contents:
                self.objects.put(data)
            faults.fault_point("add.objects")
            return self.commit(with_task, command=command, task=manifest.task, expect=expect)

    def commit(
        self,
        change: Callable[[Snapshot], dict[str, Any]],
        *,
        command: str,
        task: str | None = None,
        expect: str | None = None,
    ) -> Snapshot:
        """Move the head from the current snapshot to that snapshot with the fields that `change` gives for it.

        `change` runs under the lock on the head as it is then, and may raise to refuse; every object that it names must
        have been put before. Without a certificate among them the commit gets the one of certificate.py. Raises
        HeadMoved where `expect` is given and is not the head.
        """
        with self.locked():
            parent = self.head()
            if expect is not None and parent.digest != expect:
                raise HeadMoved(f"{self.path}: another process committed meanwhile; measure again and retry")
            told = {"parent": parent.digest, "time": now(), "command": command, "task": task, "who": _who()}
            child = parent.but(**{"certificate": None, **told, **change(parent)})
            if child.certificate is None:
                child = self.certified(parent, child)
            self._move_head(child)
            return child

    def certified(self, before: Snapshot | None, after: Snapshot) -> Snapshot:
        """The later of two snapshots with the certificate of the commit between them, which is put."""
        trees = TaskMap(self.objects, before.tasks if before else None), self.entries(after)
        made = certify(before, after, trees, self._sums)
        return after.but(certificate=self.objects.put(made.to_bytes()))

    def _move_head(self, snapshot: Snapshot) -> None:
        """Write a snapshot, its line in the log, and the head, in this order. The lock must be held."""
        path = self.snapshots / f"{snapshot.digest}.json"
        write_whole(path, snapshot.to_bytes(), scratch=self.scratch, what="snapshot")
        log.append(self.path / "log", log.LogEntry.of(snapshot))
        write_whole(self.path / "head", f"{snapshot.digest}\n".encode(), scratch=self.scratch, what="head")

    def _check_addable(self, snapshot: Snapshot, manifest: TaskManifest, update: bool) -> None:
        self.check_base(manifest.base, f"that of {manifest.task}", snapshot)
        entry = self.entries(snapshot).get(manifest.task)
        if entry is None and update:
            raise UsageError(f"task {manifest.task!r} is not in {self.path}, so there is nothing to update; add it")
        if entry is not None and not update:
            raise LynxError(
                f"task {manifest.task!r} is in {self.path} already, as version {entry.current}; "
                "updating it adds a version"
            )

    def locked(self) -> AbstractContextManager[Any]:
        """The lock of writers. Raises LynxError when another process keeps it for LOCK_SECONDS."""
        import filelock

        make_folder(self.path)
        try:
            return filelock.FileLock(self.path / "lock").acquire(timeout=LOCK_SECONDS)
        except filelock.Timeout as error:
            raise LynxError(f"{self.path}: locked by another process for {LOCK_SECONDS:.0f} s; try later") from error


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in some containers
        return "unknown"
