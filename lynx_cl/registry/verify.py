"""Is every byte of a registry what it was? Each object, snapshot, head and line of the log against its digest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lynx_cl.errors import LynxError
from lynx_cl.registry import log
from lynx_cl.registry.canonical import sha256
from lynx_cl.registry.certificate import Held, certificate_of, certify
from lynx_cl.registry.reach import references
from lynx_cl.registry.snapshot import Snapshot
from lynx_cl.registry.store import Registry
from lynx_cl.registry.tree import TaskMap


@dataclass(frozen=True)
class Problem:
    """What is wrong with one file: `path` relative to the registry."""

    path: str
    message: str


def verify(registry: Registry) -> list[Problem]:
    """All that is wrong with a registry; nothing for one that does not exist.

    Files that nothing refers to (left by a crash before the commit) are no problem, unless their bytes have changed.
    Takes no lock: where the registry moves on meanwhile, what looked wrong is looked at again.
    """
    while True:
        moment = _moment(registry)
        problems = _problems(registry)
        if not problems or moment == _moment(registry):
            return problems


def _moment(registry: Registry) -> tuple[bytes | None, ...]:
    """What every commit and every collection of snapshots changes."""
    paths = (registry.path / "head", registry.path / registry.BEGINNING)
    return tuple(path.read_bytes() if path.is_file() else None for path in paths)


def _problems(registry: Registry) -> list[Problem]:
    problems = [*_damaged_objects(registry)]
    snapshots, damaged = _read_snapshots(registry)
    problems += damaged
    seen: set[str] = set()
    for snapshot in snapshots.values():
        problems += _missing_objects(registry, snapshot, seen)
    problems += _wrong_certificates(registry, snapshots)
    problems += _broken_history(registry, snapshots)
    return sorted(set(problems), key=lambda problem: (problem.path, problem.message))


def leftovers(registry: Registry) -> list[Path]:
    """Unfinished files of writers that are running, or were killed."""
    return sorted(registry.scratch.glob("*")) if registry.scratch.is_dir() else []


def _damaged_objects(registry: Registry) -> Iterator[Problem]:
    for path in registry.objects:
        try:
            data = path.read_bytes()
        except FileNotFoundError:  # collected since it was listed; if it is needed, it is told of as missing
            continue
        if sha256(data) != path.parent.name + path.name:
            yield _problem(registry, path, "the object's bytes have changed")


def _read_snapshots(registry: Registry) -> tuple[dict[str, Snapshot], list[Problem]]:
    snapshots: dict[str, Snapshot] = {}
    problems: list[Problem] = []
    for path in sorted(registry.snapshots.glob("*")):
        try:
            snapshots[path.stem] = registry.snapshot(path.stem)
        except LynxError:
            if path.exists():
                problems.append(_problem(registry, path, "the snapshot's bytes have changed"))
    return snapshots, problems


def _missing_objects(registry: Registry, snapshot: Snapshot, seen: set[str]) -> Iterator[Problem]:
    own = registry.snapshots / f"{snapshot.digest}.json"
    for digest, what in references(registry, snapshot, seen):
        path = registry.objects.path(digest)
        if not path.is_file() and own.exists():  # a collection takes a snapshot away before its objects
            yield _problem(registry, path, f"missing: {what}")


def _wrong_certificates(registry: Registry, snapshots: dict[str, Snapshot]) -> Iterator[Problem]:
    """Certificates that say other than what the snapshot and the one before it hold, as far as that one is kept."""
    sums: dict[str, Held] = {}
    for snapshot in snapshots.values():
        before = snapshots.get(snapshot.parent) if snapshot.parent else None
        try:
            told = certificate_of(registry.read(snapshot.certificate)) if snapshot.certificate else None
            if told is None:
                continue
            trees = TaskMap(registry.objects, before.tasks if before else None), registry.entries(snapshot)
            true = certify(before, snapshot, trees, sums).but(libraries=told.libraries)
        except LynxError:  # told of as missing or as changed
            continue
        if before is None and snapshot.parent:  # collected: only what is said of the snapshot itself can be told
            true = true.but(
                state_before=told.state_before,
                came=told.came,
                went=told.went,
                unchanged=told.unchanged,
                before=told.before,
                router=told.router,
            )
        if told != true:
            path = registry.objects.path(snapshot.certificate or "")
            yield _problem(registry, path, f"does not prove the snapshot {snapshot.digest[:12]}")


def _broken_history(registry: Registry, snapshots: dict[str, Snapshot]) -> Iterator[Problem]:
    """The head, the snapshots before it, and the log's line of each."""
    head, lines = registry.path / "head", registry.path / "log"
    try:
        digest = registry.head_digest()
    except LynxError as error:
        yield _problem(registry, head, str(error).removeprefix(f"{head}: "))
        return
    entries = log.read(lines)
    if digest is not None and not (registry.snapshots / f"{digest}.json").exists():
        yield _problem(registry, head, f"names the snapshot {digest[:12]}, which is missing")
    beginning = registry.beginning()
    kept = True
    while digest is not None:
        there = (registry.snapshots / f"{digest}.json").exists()
        if kept and not there:
            yield _problem(registry, registry.snapshots / f"{digest}.json", "missing")
        snapshot = snapshots.get(digest)
        entry = entries.get(digest)
        if entry is None or (snapshot is not None and entry != log.LogEntry.of(snapshot)):
            yield _problem(registry, lines, f"the line of snapshot {digest[:12]} is missing or has changed")
        known = snapshot or entry
        kept = kept and digest != beginning
        digest = known.parent if known else None
    if beginning is not None and kept:
        yield _problem(registry, registry.path / registry.BEGINNING, "names no snapshot of the history")


def _problem(registry: Registry, path: Path, message: str) -> Problem:
    return Problem(path.relative_to(registry.path).as_posix(), message)
