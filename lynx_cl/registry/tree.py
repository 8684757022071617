"""The tasks of a snapshot as a hash trie of immutable objects: a commit rewrites one path of it, not the whole.

A task's place is the sha256 of its name, a hexadecimal digit a level. A subtree of at most LEAF tasks is one leaf, any
other a branch: so the trie is a function of the tasks in it, whatever the order in which they came and went, and equal
sets of tasks have one root. (Merkle 1987; the rule that makes the shape canonical is that of a Patricia trie.)
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Protocol

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

from lynx_cl.errors import LynxError
from lynx_cl.registry.canonical import canonical, sha256
from lynx_cl.registry.snapshot import NodeRef, Stored, TaskEntry, TaskName

LEAF = 64  # tasks that a leaf holds at most


class Leaf(Stored):
    """The tasks of a small subtree, by name."""

    entries: dict[TaskName, TaskEntry]

    def reference(self, digest: str) -> NodeRef:
        states = {name: entry.state_facts() for name, entry in self.entries.items()}
        return NodeRef(node=digest, state=sha256(canonical({"tasks": states})), count=len(self.entries))


class Branch(Stored):
    """The subtrees of a larger one, by the next digit of their tasks' places."""

    children: dict[Annotated[str, StringConstraints(pattern="^[0-9a-f]$")], NodeRef] = Field(min_length=1)

    def reference(self, digest: str) -> NodeRef:
        states = {digit: child.state for digit, child in self.children.items()}
        count = sum(child.count for child in self.children.values())
        return NodeRef(node=digest, state=sha256(canonical({"children": states})), count=count)


Node = Leaf | Branch
_NODE: TypeAdapter[Node] = TypeAdapter(Node)


class Objects(Protocol):
    """Where nodes are kept."""

    def put(self, data: bytes) -> str: ...
    def get(self, digest: str) -> bytes: ...
    def path(self, digest: str) -> Path: ...


@dataclass(frozen=True, eq=False)
class TaskMap(Mapping[str, TaskEntry]):
    """The tasks below `root` (None: no task). Read lazily; `put` and `without` give another map and write its nodes."""

    objects: Objects
    root: NodeRef | None = None

    def __getitem__(self, name: str) -> TaskEntry:
        node, digits = self._root_node(), _place(name)
        for digit in digits:
            if isinstance(node, Leaf):
                break
            child = node.children.get(digit)
            if child is None:
                raise KeyError(name)
            node = self.node(child)
        assert isinstance(node, Leaf)
        return node.entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(name for leaf in self._leaves(self.root) for name in leaf.entries))

    def __len__(self) -> int:
        return self.root.count if self.root is not None else 0

    def all(self) -> dict[str, TaskEntry]:
        """Every task and its entry, by name; each node is read once."""
        found = {name: entry for leaf in self._leaves(self.root) for name, entry in leaf.entries.items()}
        return dict(sorted(found.items()))

    def put(self, name: str, entry: TaskEntry) -> TaskMap:
        """The map with a task added or replaced."""
        return self.put_all({name: entry})

    def put_all(self, entries: Mapping[str, TaskEntry]) -> TaskMap:
        """The map with these tasks added or replaced, each node written once."""
        return TaskMap(self.objects, self._with(self.root, entries, 0)) if entries else self

    def without(self, name: str) -> TaskMap:
        """The map without a task; the same map where it has none of that name."""
        if name not in self:
            return self
        assert self.root is not None
        return TaskMap(self.objects, self._without(self.root, name, 0))

    def changes(self, other: TaskMap) -> Iterator[str]:
        """Names of the tasks whose entries differ between two maps; equal subtrees are not read."""
        yield from sorted(self._changes(self.root, other, other.root))

    def node(self, reference: NodeRef) -> Node:
        """A node, checked. Raises LynxError where it is missing, damaged or of another format."""
        return parse_node(self.objects.get(reference.node), self.objects.path(reference.node))

    # the rest walks the trie

    def _root_node(self) -> Node:
        return Leaf(entries={}) if self.root is None else self.node(self.root)

    def _leaves(self, reference: NodeRef | None) -> Iterator[Leaf]:
        if reference is None:
            return
        node = self.node(reference)
        if isinstance(node, Leaf):
            yield node
        else:
            for child in node.children.values():
                yield from self._leaves(child)

    def _store(self, node: Node) -> NodeRef:
        return node.reference(self.objects.put(node.to_bytes()))

    def _build(self, entries: Mapping[str, TaskEntry], depth: int) -> NodeRef:
        if len(entries) <= LEAF:
            return self._store(Leaf(entries=dict(entries)))
        parts = _parts(entries, depth)
        return self._store(Branch(children={digit: self._build(part, depth + 1) for digit, part in parts.items()}))

    def _with(self, reference: NodeRef | None, entries: Mapping[str, TaskEntry], depth: int) -> NodeRef:
        if reference is None:
            return self._build(entries, depth)
        node = self.node(reference)
        if isinstance(node, Leaf):
            return self._build({**node.entries, **entries}, depth)
        children = dict(node.children)
        for digit, part in _parts(entries, depth).items():
            children[digit] = self._with(children.get(digit), part, depth + 1)
        return self._store(Branch(children=children))

    def _without(self, reference: NodeRef, name: str, depth: int) -> NodeRef | None:
        node = self.node(reference)
        if isinstance(node, Leaf):
            left = {other: entry for other, entry in node.entries.items() if other != name}
            return self._store(Leaf(entries=left)) if left else None
        digit = _place(name)[depth]
        child = self._without(node.children[digit], name, depth + 1)
        children = {d: c for d, c in node.children.items() if d != digit}
        if child is not None:
            children[digit] = child
        if sum(c.count for c in children.values()) > LEAF:
            return self._store(Branch(children=children))
        left = {n: e for c in children.values() for leaf in self._leaves(c) for n, e in leaf.entries.items()}
        return self._store(Leaf(entries=left))

    def _changes(self, mine: NodeRef | None, other: TaskMap, theirs: NodeRef | None) -> Iterator[str]:
        if mine is not None and theirs is not None:
            if mine.node == theirs.node:
                return
            a, b = self.node(mine), other.node(theirs)
            if isinstance(a, Branch) and isinstance(b, Branch):
                for digit in {*a.children, *b.children}:
                    yield from self._changes(a.children.get(digit), other, b.children.get(digit))
                return
        ours = {n: e for leaf in self._leaves(mine) for n, e in leaf.entries.items()}
        others = {n: e for leaf in other._leaves(theirs) for n, e in leaf.entries.items()}
        yield from (name for name in {*ours, *others} if ours.get(name) != others.get(name))


def parse_node(data: bytes, path: Path) -> Node:
    """A node from its bytes. Raises LynxError naming the file for anything else."""
    try:
        return _NODE.validate_json(data)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise LynxError(f"{path}: no node of the task tree ({reason}); run 'lynx-cl registry verify'") from None


def _place(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _parts(entries: Mapping[str, TaskEntry], depth: int) -> dict[str, dict[str, TaskEntry]]:
    """Tasks by the digit of their places at this depth."""
    parts: dict[str, dict[str, TaskEntry]] = defaultdict(dict)
    for name, entry in entries.items():
        parts[_place(name)[depth]][name] = entry
    return parts
