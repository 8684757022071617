"""Operations between states of a registry: remove, merge, roll back, drop old versions, compare. Each one transaction.

Each gives the state that its definition asks for, whatever the history: removing a task gives the state that would be
had if it had never been added; merging gives that of adding the tasks of both to one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lynx_cl.errors import LynxError, UsageError
from lynx_cl.registry import faults
from lynx_cl.registry.merge import PREFERENCES, Joined, Prefer, join
from lynx_cl.registry.reach import Source, references
from lynx_cl.registry.reading import brief
from lynx_cl.registry.scratch import writing
from lynx_cl.registry.snapshot import DIGEST, DROP, REMOVE, Snapshot, TaskEntry
from lynx_cl.registry.store import Registry

MERGE, ROLLBACK = "merge", "rollback"


@dataclass(frozen=True)
class Merged:
    """What a merge did: the new head, and the tasks that came with it or were settled. No commit where none did."""

    snapshot: Snapshot
    taken: tuple[str, ...]
    settled: tuple[str, ...]


@dataclass(frozen=True)
class Difference:
    """How two snapshots differ: for each task its entry in one and in the other, None where it is not there."""

    tasks: dict[str, tuple[TaskEntry | None, TaskEntry | None]]
    router: tuple[dict[str, Any], dict[str, Any]] | None
    base: tuple[str, str] | None


def remove_task(registry: Registry, name: str) -> Snapshot:
    """Take a task out, with all its versions. Raises UsageError where there is no such task.

    The state is then that of a registry which never had it; its bytes go when `collect` runs.
    """

    def without(parent: Snapshot) -> dict[str, Any]:
        entries = registry.entries(parent)
        if name not in entries:
            whole = name.partition("@")[0]
            why = f"; a task goes with all its versions: remove {whole!r}" if "@" in name and whole in entries else ""
            raise UsageError(f"task {name!r} is not in {registry.path}; known: {brief(entries) or 'none'}{why}")
        return {"tasks": entries.without(name).root}

    registry.head()
    return registry.commit(without, command=REMOVE, task=name)


def drop_versions(registry: Registry) -> Snapshot | None:
    """Forget every version that is not its task's current one. None where there is no such version."""

    def current_only(parent: Snapshot) -> dict[str, Any]:
        entries = registry.entries(parent)
        many = {
            name: entry.but(versions={entry.current: entry.versions[entry.current]})
            for name, entry in entries.all().items()
            if len(entry.versions) > 1
        }
        if not many:
            raise _NothingToDo
        return {"tasks": entries.put_all(many).root}

    try:
        return registry.commit(current_only, command=DROP)
    except _NothingToDo:
        return None


def roll_back(registry: Registry, digest: str) -> Snapshot:
    """Return to the tasks and the router of an earlier snapshot, named by its digest or the beginning of it.

    It is a commit of its own, so nothing of the history is lost. Raises UsageError for a digest that is unknown or
    could be several, LynxError where objects of that snapshot are gone.
    """
    earlier = find_snapshot(registry, digest)

    def as_it_was(parent: Snapshot) -> dict[str, Any]:
        missing = [what for part, what in references(registry, earlier) if not registry.objects.path(part).is_file()]
        if missing:
            raise LynxError(
                f"snapshot {earlier.digest[:12]}: {brief(missing, 3)} no longer there; restore it from a copy"
            )
        return {"tasks": earlier.tasks, "router": earlier.router}

    return registry.commit(as_it_was, command=ROLLBACK)


def find_snapshot(registry: Registry, digest: str) -> Snapshot:
    """The snapshot of a digest, or of the beginning of one. Raises UsageError where there is none or are several."""
    if DIGEST.fullmatch(digest):
        return registry.snapshot(digest)
    known = sorted(path.stem for path in registry.snapshots.glob("*.json"))
    fit = [name for name in known if name.startswith(digest)] if len(digest) >= 4 else []
    if len(fit) != 1:
        why = "gives fewer than 4 digits" if len(digest) < 4 else f"fits {len(fit)} snapshots"
        raise UsageError(f"snapshot {digest!r} {why} of {registry.path}; 'lynx-cl registry log' lists them")
    return registry.snapshot(fit[0])


def check_preference(prefer: str | None) -> None:
    """Raises UsageError for a preference that there is not."""
    if prefer is not None and prefer not in PREFERENCES:
        raise UsageError(f"prefer {prefer!r} is unknown; known: {', '.join(PREFERENCES)}")


def merge(registry: Registry, other: Registry, prefer: Prefer | None = None) -> Merged:
    """Take in what another registry of the same base holds at its head.

    Raises LynxError naming every conflict that `prefer` does not settle, for another base, and where an object of the
    other registry is missing or damaged; nothing has changed then.
    """
    return take_in(registry, other, other.head(), prefer)


def take_in(
    registry: Registry,
    other: Source,
    theirs: Snapshot,
    prefer: Prefer | None = None,
    *,
    settings: bool = True,
    command: str = MERGE,
) -> Merged:
    """Merge with a snapshot that `other` holds. Without `settings` the router's stay as they are.

    Raises as `merge`.
    """
    check_preference(prefer)
    if not registry.exists():
        files = {role: other.read(digest) for role, digest in theirs.base.files.items()}
        registry.init(theirs.base.fingerprint, theirs.base.name, files=files, router=theirs.router)
    joined: Joined | None = None

    def union(parent: Snapshot) -> Joined:
        registry.check_base(theirs.base.fingerprint, theirs.base.name, parent)
        routers = parent.router, theirs.router if settings else parent.router
        return join(registry.entries(parent), other.entries(theirs), routers, prefer, command)

    def change(parent: Snapshot) -> dict[str, Any]:
        nonlocal joined
        joined = union(parent)
        if not joined.entries and joined.router == parent.router:
            raise _NothingToDo
        copy_objects(other, registry, [theirs])  # again, under the lock: what was there may have been collected
        return {"tasks": registry.entries(parent).put_all(joined.entries).root, "router": joined.router}

    union(registry.head())  # a conflict is told before anything is copied
    with writing(registry.scratch):
        copy_objects(other, registry, [theirs])
        faults.fault_point("merge.objects")
        try:
            snapshot = registry.commit(change, command=command)
        except _NothingToDo:
            return Merged(registry.head(), (), ())
    assert joined is not None
    return Merged(snapshot, joined.taken, joined.settled)


def copy_objects(source: Source, target: Registry, snapshots: Iterable[Snapshot]) -> int:
    """Copy what snapshots hold and the target lacks, each byte checked; returns how many bytes that were.

    Their own certificates stay behind: they prove commits of the other history.
    """
    copied = 0
    for snapshot in snapshots:
        for digest, _ in references(source, snapshot.but(certificate=None)):
            if not target.objects.path(digest).is_file():
                data = source.read(digest)
                target.objects.put(data)
                copied += len(data)
    return copied


def difference(registry: Registry, before: Snapshot, after: Snapshot) -> Difference:
    """How one snapshot of a registry differs from another."""
    old, new = registry.entries(before), registry.entries(after)
    names = list(old.changes(new))
    return Difference(
        tasks={name: (old.get(name), new.get(name)) for name in names},
        router=None if before.router == after.router else (before.router, after.router),
        base=None if before.base == after.base else (before.base.fingerprint, after.base.fingerprint),
    )


class _NothingToDo(Exception):
    """Raised within a transaction that would change nothing."""
