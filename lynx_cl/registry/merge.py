"""What two registries hold together: a union in which a task that differs is a conflict, settled openly or not at all.

Without a conflict merging is commutative, associative and idempotent. So is settling one by `both`, as long as equal
content comes with equal records: where two people made the same version at different times, which of two current
versions is the later may depend on who is merged first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from lynx_cl.errors import LynxError
from lynx_cl.registry.reading import brief
from lynx_cl.registry.snapshot import TaskEntry, Version
from lynx_cl.registry.tree import TaskMap

Prefer = Literal["ours", "theirs", "both"]
PREFERENCES: tuple[Prefer, ...] = ("ours", "theirs", "both")


@dataclass(frozen=True)
class Conflict:
    """A task that both registries hold, with different versions or another current one."""

    task: str
    ours: TaskEntry
    theirs: TaskEntry

    def __str__(self) -> str:
        def brief(entry: TaskEntry) -> str:
            return f"version {entry.current} of {len(entry.versions)}, bank {entry.versions[entry.current].bank[:12]}"

        return f"{self.task} (ours: {brief(self.ours)}; theirs: {brief(self.theirs)})"


@dataclass(frozen=True)
class Joined:
    """What the first of two registries must change to hold what both do: entries by task, and the router's settings.

    `taken` are tasks that it did not have, `settled` those in which another content of it was settled.
    """

    entries: dict[str, TaskEntry]
    router: dict[str, Any]
    taken: tuple[str, ...]
    settled: tuple[str, ...]


def join(
    ours: TaskMap,
    theirs: TaskMap,
    routers: tuple[dict[str, Any], dict[str, Any]],
    prefer: Prefer | None,
    command: str,
) -> Joined:
    """The union of two registries' tasks and router settings (`routers`, ours first). Writes nothing.

    Raises LynxError naming every conflict that `prefer` does not settle.
    """
    entries: dict[str, TaskEntry] = {}
    conflicts, taken, settled = [], [], []
    for name in ours.changes(theirs):
        mine, his = ours.get(name), theirs.get(name)
        if his is None:
            continue
        if mine is None:
            entries[name] = his
            taken.append(name)
            continue
        both = merge_entries(mine, his, prefer)
        if both is None:
            conflicts.append(str(Conflict(name, mine, his)))
        elif both != mine:
            entries[name] = both
            if both.state_facts() != mine.state_facts():
                settled.append(name)
    if routers[0] != routers[1] and prefer not in ("ours", "theirs"):
        conflicts.append(f"the router's settings (ours: {routers[0]}; theirs: {routers[1]})")
    if conflicts:
        raise LynxError(
            f"{command}: {len(conflicts)} conflicts, nothing was taken: {brief(conflicts, 3)}; "
            f"settle them with --prefer {'|'.join(PREFERENCES)}"
        )
    return Joined(entries, routers[prefer == "theirs"], tuple(taken), tuple(settled))


def merge_entries(ours: TaskEntry, theirs: TaskEntry, prefer: Prefer | None = None) -> TaskEntry | None:
    """One entry of two that differ at most in how they came to be; None for a conflict that `prefer` does not settle.

    Of two records of the same content the earlier stays. `both` keeps the versions of both, numbered by when they were
    made, and of the two current ones the later.
    """
    if ours.state_facts() == theirs.state_facts():
        numbers = ours.versions
        return ours.but(versions={n: min(ours.versions[n], theirs.versions[n], key=_age) for n in numbers})
    settle: dict[Prefer, Callable[[], TaskEntry]] = {
        "ours": lambda: ours,
        "theirs": lambda: theirs,
        "both": lambda: _both(ours, theirs),
    }
    return settle[prefer]() if prefer is not None else None


def _both(ours: TaskEntry, theirs: TaskEntry) -> TaskEntry:
    kept: dict[str, Version] = {}
    for version in (*ours.versions.values(), *theirs.versions.values()):
        known = kept.get(version.manifest, version)
        kept[version.manifest] = min(known, version, key=_age)
    ordered = sorted(kept.values(), key=_age)
    numbers = {version.manifest: number for number, version in enumerate(ordered, 1)}
    current = max(numbers[entry.versions[entry.current].manifest] for entry in (ours, theirs))
    return TaskEntry(current=current, versions=dict(enumerate(ordered, 1)))


def _age(version: Version) -> tuple[str, str, str]:
    return version.created, version.manifest, version.record
