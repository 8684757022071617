"""What a snapshot reaches: every object it needs, for checking, collecting and copying."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from lynx_cl.errors import LynxError
from lynx_cl.registry.snapshot import AddRecord, NodeRef, Snapshot, TaskEntry, TaskManifest
from lynx_cl.registry.tree import Branch, Leaf, Node, TaskMap
from lynx_cl.registry.views import parse


class Objects(Protocol):
    """Where objects lie."""

    def path(self, digest: str) -> Path: ...


class Source(Protocol):
    """What holds snapshots: a registry, or one at an address elsewhere."""

    @property
    def objects(self) -> Objects: ...

    def entries(self, snapshot: Snapshot) -> TaskMap:
        """The tasks of a snapshot."""
        ...

    def read(self, digest: str) -> bytes:
        """An object, checked. Raises LynxError."""
        ...


def references(registry: Source, snapshot: Snapshot, seen: set[str] | None = None) -> Iterator[tuple[str, str]]:
    """Every object that a snapshot needs, once, with what it is; those below what is missing or damaged are not known.

    What is in `seen` is left out with all below it, and what is given is put into it: so several snapshots, which share
    most of their trees, take little longer than one.
    """
    seen = set() if seen is None else seen
    for digest, what in _walk(registry, snapshot, seen):
        if digest not in seen:
            seen.add(digest)
            yield digest, what


def _walk(registry: Source, snapshot: Snapshot, seen: set[str]) -> Iterator[tuple[str, str]]:
    yield from ((digest, f"{role} of the base") for role, digest in snapshot.base.files.items())
    if snapshot.certificate:
        yield snapshot.certificate, f"certificate of snapshot {snapshot.digest[:12]}"
    for reference, node in _nodes(registry.entries(snapshot), seen):
        yield reference.node, f"part of the task tree of snapshot {snapshot.digest[:12]}"
        for name, entry in node.entries.items() if isinstance(node, Leaf) else ():
            yield from _parts(registry, name, entry, seen)


def _nodes(entries: TaskMap, seen: set[str]) -> Iterator[tuple[NodeRef, Node | None]]:
    """Every node that can be read, and those that cannot as None."""
    waiting = [entries.root] if entries.root is not None else []
    while waiting:
        reference = waiting.pop()
        if reference.node in seen:
            continue
        try:
            node = entries.node(reference)
        except LynxError:  # told of as missing or as changed
            yield reference, None
            continue
        yield reference, node
        if isinstance(node, Branch):
            waiting += node.children.values()


def _parts(registry: Source, name: str, entry: TaskEntry, seen: set[str]) -> Iterator[tuple[str, str]]:
    """Every object of a task's versions, with what it is."""
    for number, version in entry.versions.items():
        parts: tuple[tuple[str, str, type[TaskManifest] | type[AddRecord]], ...] = (
            ("manifest", version.manifest, TaskManifest),
            ("record", version.record, AddRecord),
        )
        for what, digest, model in parts:
            if digest in seen:
                continue
            yield digest, f"{what} of {name}@{number}"
            try:
                stored = parse(model, registry.read(digest), registry.objects.path(digest))
            except LynxError:  # told of as missing or as changed
                continue
            yield from ((part, f"{role} of {name}@{number}") for role, part in stored.files.items())
