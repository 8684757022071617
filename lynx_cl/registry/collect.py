"""Collecting what nothing needs: objects and snapshots out of reach, and files that killed writers left.

What a registry keeps is its head and the history behind it, back to the last commit that took something away
(`remove-task`, `drop-versions`): what was revoked must not be had by rolling back. So after `remove-task` a collection
leaves no byte of the task's objects. The log keeps its lines, which hold names, times and digests.

While a command runs that has written objects but not committed them, an object that no snapshot ever named stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from lynx_cl.errors import LynxError
from lynx_cl.registry import faults
from lynx_cl.registry.durable import sync_folder, write_whole
from lynx_cl.registry.reach import references
from lynx_cl.registry.scratch import abandoned, someone_writes
from lynx_cl.registry.sign import FOLDER
from lynx_cl.registry.snapshot import REVOKING, Snapshot
from lynx_cl.registry.store import Registry
from lynx_cl.registry.verify import leftovers, verify


@dataclass(frozen=True)
class Collected:
    """What a collection removed, or would: counts and bytes."""

    objects: int
    snapshots: int
    leftovers: int
    bytes: int


@dataclass(frozen=True)
class Garbage:
    """Files of a registry that nothing needs, and the oldest snapshot that is kept."""

    objects: list[Path]
    snapshots: list[Path]
    signatures: list[Path]
    leftovers: list[Path]
    first: Snapshot

    @property
    def files(self) -> list[Path]:
        """All of them, those that name others first."""
        return [*self.snapshots, *self.objects, *self.signatures, *self.leftovers]

    def told(self) -> Collected:
        """How much that is."""
        sizes = sum(path.stat().st_size for path in self.files if path.exists())
        return Collected(len(self.objects), len(self.snapshots), len(self.leftovers), sizes)


def collect(registry: Registry, *, keep: int | None = None, dry_run: bool = False) -> Collected:
    """Remove what nothing reaches. `keep` keeps at most that many snapshots of the history (at least the head).

    With `dry_run` nothing is written and no lock taken. Raises LynxError where the registry is damaged: nothing is
    removed then, since a damaged file hides what it needs.
    """
    if not registry.exists():
        return Collected(0, 0, 0, 0)
    with nullcontext() if dry_run else registry.locked():
        problems = verify(registry)
        if problems:
            raise LynxError(
                f"{registry.path}: {len(problems)} of its files are wrong, so nothing is removed; "
                "see 'lynx-cl registry verify'"
            )
        found = garbage(registry, keep)
        report = found.told()
        if dry_run:
            return report
        if found.snapshots:
            first = f"{found.first.digest}\n".encode()
            write_whole(registry.path / registry.BEGINNING, first, scratch=registry.scratch, what="beginning")
        for path in found.files:
            path.unlink(missing_ok=True)
            faults.fault_point("collect.removed")
        for folder in {path.parent for path in found.files}:
            sync_folder(folder)
        return report


def garbage(registry: Registry, keep: int | None = None) -> Garbage:
    """What nothing reaches, as far as it can be told without the lock. Raises LynxError where there is no registry."""
    kept = list(history(registry, keep))
    reached = _reached(registry, kept)
    names = {f"{snapshot.digest}.json" for snapshot in kept}
    objects = [path for path in registry.objects if _digest(path) not in reached]
    snapshots = [path for path in sorted(registry.snapshots.glob("*")) if path.name not in names]
    if someone_writes(registry.scratch):  # asked after the objects were listed: a writer says so before its first one
        named = _reached(registry, [registry.snapshot(path.stem) for path in snapshots])
        objects = [path for path in objects if _digest(path) in named]
    signatures = [path for path in (registry.path / FOLDER).glob("*") if f"{path.name[:64]}.json" not in names]
    left = [path for path in leftovers(registry) if abandoned(path)]
    return Garbage(objects, snapshots, signatures, left, kept[-1])


def history(registry: Registry, keep: int | None = None) -> Iterator[Snapshot]:
    """The snapshots that are kept, the head first."""
    snapshot = registry.head()
    count = 1
    yield snapshot
    while snapshot.parent is not None and snapshot.command not in REVOKING and (keep is None or count < keep):
        if not (registry.snapshots / f"{snapshot.parent}.json").exists():  # removed by an earlier collection
            return
        snapshot = registry.snapshot(snapshot.parent)
        count += 1
        yield snapshot


def _reached(registry: Registry, snapshots: Iterable[Snapshot]) -> set[str]:
    """Digests of all objects that these snapshots need."""
    reached: set[str] = set()
    for snapshot in snapshots:
        for _ in references(registry, snapshot, reached):  # puts what it finds into `reached`
            pass
    return reached


def _digest(path: Path) -> str:
    """The digest that an object's path says."""
    return path.parent.name + path.name
