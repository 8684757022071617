"""What every commit proves: the states before and after it, which banks came and went, and that no other changed.

An add keeps a certificate of its own, with what was measured; every other commit keeps the one made here, from the
trees of the two states alone. It is no part of the state. Of what a command takes away for good (`remove-task`,
`drop-versions`) it says no more than the log does: the state before.
"""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import version
from typing import Annotated, Literal

from pydantic import Field, JsonValue, ValidationError

from lynx_cl.registry.snapshot import REVOKING, Digest, Fraction, NodeRef, Snapshot, Stored, TaskName
from lynx_cl.registry.tree import Leaf, TaskMap

Count = Annotated[int, Field(ge=0)]
Banks = dict[TaskName, dict[Annotated[int, Field(ge=1)], Digest]]
LIBRARIES = ("lynx-cl", "pydantic")


class Held(Stored):
    """What a state holds: tasks, the banks of all their versions, and of the current ones the parameters and their
    share of the base's."""

    tasks: Count = 0
    banks: Count = 0
    parameters: Count = 0
    growth_total: Fraction = 0.0


class Certificate(Stored):
    """The proof of a commit that is no add.

    `came` and `went` are digests of banks by task and version, `unchanged` counts all other banks: those are the same
    bytes before and after. `before` and `state_before` are of the snapshot that was changed (none for the first),
    `router` its settings before and after where they differ.
    """

    format: Literal[1] = 1
    command: str
    base: Digest
    state_before: Digest | None
    state_after: Digest
    came: Banks
    went: Banks
    unchanged: Count
    before: Held | None
    after: Held
    router: tuple[dict[str, JsonValue], dict[str, JsonValue]] | None
    libraries: dict[str, str]


def certify(
    before: Snapshot | None, after: Snapshot, trees: tuple[TaskMap, TaskMap], sums: dict[str, Held]
) -> Certificate:
    """The certificate of the commit between two snapshots, whose tasks are `trees`.

    `sums` keeps what is held below a node of a tree, so that a node is summed once. Raises LynxError where a node is
    missing or damaged.
    """
    old, new = (_banks(tree, names) for names in [list(trees[0].changes(trees[1]))] for tree in trees)
    came, went = _without(new, old), _without(old, new)
    held = _held(trees[1], trees[1].root, sums)
    revoked = after.command in REVOKING
    return Certificate(
        command=after.command,
        base=after.base.fingerprint,
        state_before=before.state if before else None,
        state_after=after.state,
        came=came,
        went={} if revoked else went,
        unchanged=held.banks - sum(map(len, came.values())),
        before=None if before is None or revoked else _held(trees[0], trees[0].root, sums),
        after=held,
        router=None if before is None or before.router == after.router else (before.router, after.router),
        libraries=libraries(),
    )


def certificate_of(data: bytes) -> Certificate | None:
    """A certificate from its bytes; None for that of an add, which is of another form."""
    try:
        return Certificate.model_validate_json(data)
    except ValidationError:
        return None


@cache
def libraries() -> dict[str, str]:
    """Versions of what wrote the certificate."""
    return {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}


def _banks(tree: TaskMap, names: list[str]) -> Banks:
    entries = {name: tree.get(name) for name in names}
    return {name: {n: v.bank for n, v in entry.versions.items()} for name, entry in entries.items() if entry}


def _without(banks: Banks, others: Banks) -> Banks:
    """Those banks that are not among the others under the same task and version."""
    left = {
        name: {n: bank for n, bank in versions.items() if others.get(name, {}).get(n) != bank}
        for name, versions in banks.items()
    }
    return {name: versions for name, versions in left.items() if versions}


def _held(tree: TaskMap, reference: NodeRef | None, sums: dict[str, Held]) -> Held:
    if reference is None:
        return Held()
    if reference.node not in sums:
        node = tree.node(reference)
        if isinstance(node, Leaf):
            entries = node.entries.values()
            currents = [entry.versions[entry.current] for entry in entries]
            parts = [
                Held(tasks=1, banks=len(e.versions), parameters=c.parameters, growth_total=c.growth_total)
                for e, c in zip(entries, currents, strict=True)
            ]
        else:
            parts = [_held(tree, child, sums) for child in node.children.values()]
        sums[reference.node] = Held(
            tasks=sum(part.tasks for part in parts),
            banks=sum(part.banks for part in parts),
            parameters=sum(part.parameters for part in parts),
            growth_total=sum(part.growth_total for part in parts),
        )
    return sums[reference.node]
