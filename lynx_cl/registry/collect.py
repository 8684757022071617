"""Collecting what nothing needs: objects and snapshots out of reach, and files that killed writers left.

What a registry keeps is its head and the history behind it, back to the last commit that took something away
(`remove-task`, `drop-versions`): what was revoked must not be had by rolling back. So after `remove-task` a collection
leaves no byte of the task's objects. The log keeps its lines, which hold names, times and digests.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lynx_cl.errors import LynxError
from lynx_cl.registry import faults
from lynx_cl.registry.algebra import DROP, REMOVE
from lynx_cl.registry.durable import sync_folder, write_whole
from lynx_cl.registry.reach import references
from lynx_cl.registry.sign import FOLDER
from lynx_cl.registry.snapshot import Snapshot
from lynx_cl.registry.store import Registry
from lynx_cl.registry.verify import verify

STALE_SECONDS = 24 * 3600.0  # an unfinished file of a process that cannot be asked is given up after a day


@dataclass(frozen=True)
class Collected:
    """What a collection removed, or would: counts and bytes."""

    objects: int
    snapshots: int
    leftovers: int
    bytes: int


def collect(registry: Registry, *, keep: int | None = None, dry_run: bool = False) -> Collected:
    """Remove what nothing reaches. `keep` keeps at most that many snapshots of the history (at least the head).

    Raises LynxError where the registry is damaged: nothing is removed then, since a damaged file hides what it needs.
    """
    if not registry.exists():
        return Collected(0, 0, 0, 0)
    with registry.locked():
        problems = verify(registry)
        if problems:
            raise LynxError(
                f"{registry.path}: {len(problems)} of its files are wrong, so nothing is removed; "
                "see 'lynx-cl registry verify'"
            )
        kept = list(history(registry, keep))
        reached: set[str] = set()
        for snapshot in kept:
            for _ in references(registry, snapshot, reached):  # puts what it finds into `reached`
                pass
        names = {f"{snapshot.digest}.json" for snapshot in kept}
        objects = [path for path in registry.objects if path.parent.name + path.name not in reached]
        snapshots = [path for path in sorted(registry.snapshots.glob("*")) if path.name not in names]
        signatures = [path for path in (registry.path / FOLDER).glob("*") if f"{path.name[:64]}.json" not in names]
        leftovers = [path for path in sorted(registry.scratch.glob("*")) if abandoned(path)]
        gone = [*snapshots, *objects, *signatures, *leftovers]
        report = Collected(len(objects), len(snapshots), len(leftovers), sum(path.stat().st_size for path in gone))
        if dry_run:
            return report
        if snapshots:
            first = f"{kept[-1].digest}\n".encode()
            write_whole(registry.path / registry.BEGINNING, first, scratch=registry.scratch, what="beginning")
        for path in gone:
            path.unlink(missing_ok=True)
            faults.fault_point("collect.removed")
        for folder in {path.parent for path in gone}:
            sync_folder(folder)
        return report


def history(registry: Registry, keep: int | None = None) -> Iterator[Snapshot]:
    """The snapshots that are kept, the head first."""
    snapshot = registry.head()
    count = 1
    yield snapshot
    while snapshot.parent is not None and snapshot.command not in (REMOVE, DROP) and (keep is None or count < keep):
        if not (registry.snapshots / f"{snapshot.parent}.json").exists():  # removed by an earlier collection
            return
        snapshot = registry.snapshot(snapshot.parent)
        count += 1
        yield snapshot


def abandoned(path: Path) -> bool:
    """Whether an unfinished file belongs to no running process of this machine, or is older than a day."""
    try:
        if time.time() - path.stat().st_mtime > STALE_SECONDS:
            return True
        os.kill(int(path.name.split("-")[1]), 0)
    except (ProcessLookupError, ValueError, IndexError):
        return True
    except (FileNotFoundError, PermissionError, OverflowError):
        return False
    return False
