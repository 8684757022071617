"""Every commit proves what it did; and what was taken away for good is in no proof."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lynx_cl.registry import Registry, verify
from lynx_cl.registry.algebra import drop_versions, merge, remove_task, roll_back
from lynx_cl.registry.certificate import Certificate, Held, certificate_of
from lynx_cl.registry.collect import collect
from lynx_cl.registry.snapshot import Snapshot
from tests.registry.samples import made
from tests.registry.test_algebra import SETS, cases, filled, put, quick_folder


def proof(registry: Registry, snapshot: Snapshot) -> Certificate:
    """The certificate of a commit."""
    assert snapshot.certificate is not None
    told = certificate_of(registry.read(snapshot.certificate))
    assert told is not None
    return told


def banks(registry: Registry, snapshot: Snapshot) -> dict[tuple[str, int], str]:
    """What a state holds, read without the code of certificates."""
    entries = registry.entries(snapshot).all()
    return {(name, n): version.bank for name, entry in entries.items() for n, version in entry.versions.items()}


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "remove", "merge", "rollback", "drop", "router"]),
        st.sampled_from(["cells", "counting", "grounding"]),
        st.integers(0, 3),
    ),
    max_size=7,
)


def step(registry: Registry, other: Registry, what: str, name: str, content: int) -> None:
    """One change of a registry, if it can be made."""
    if what == "put":
        put(registry, name, content, update=name in registry.tasks())
    elif what == "remove" and name in registry.tasks():
        remove_task(registry, name)
    elif what == "merge":
        merge(registry, other, "theirs")
    elif what == "rollback":
        history = registry.log()
        roll_back(registry, history[content % len(history)].snapshot)
    elif what == "drop":
        drop_versions(registry)
    elif what == "router":
        registry.commit(lambda parent: {"router": {"temperature": float(content)}}, command="router")


@cases(200)
@given(start=SETS, theirs=SETS, steps=STEPS)
def test_every_commit_proves_what_it_changed_and_that_nothing_else_did(start: dict, theirs: dict, steps: Any) -> None:
    with quick_folder() as folder:
        registry, other = filled(folder / "ours", start), filled(folder / "theirs", theirs)
        for what, name, content in steps:
            step(registry, other, what, name, content)
        for entry in registry.log():
            after = registry.snapshot(entry.snapshot)
            told = proof(registry, after)
            before = registry.snapshot(entry.parent) if entry.parent else None
            old, new = (banks(registry, one) if one else {} for one in (before, after))
            came = {(task, n): bank for task, versions in told.came.items() for n, bank in versions.items()}
            went = {(task, n): bank for task, versions in told.went.items() for n, bank in versions.items()}
            assert came == {key: bank for key, bank in new.items() if old.get(key) != bank}
            if entry.command in ("remove-task", "drop-versions"):
                assert went == {} and told.before is None
            else:
                assert went == {key: bank for key, bank in old.items() if new.get(key) != bank}
            assert told.unchanged == len(new.items() & old.items()) and told.after.banks == len(new)
            assert (told.state_before, told.state_after) == (before.state if before else None, after.state)
            assert told.command == entry.command
        rows = registry.list()
        parameters, growth = sum(row.parameters for row in rows), sum(row.growth_total for row in rows)
        last = proof(registry, registry.head()).after
        assert (last.tasks, last.parameters) == (len(rows), parameters)
        assert last.growth_total == pytest.approx(growth)
        assert verify(registry) == []


@cases(100)
@given(tasks=SETS, content=st.integers(3, 9))
def test_no_proof_tells_of_a_removed_task(tasks: dict, content: int) -> None:
    """After a collection no file but the log, and the snapshot that says so, holds its name or its bank's digest."""
    with quick_folder() as folder:
        registry = filled(folder / "ours", {**tasks, "passing": content})
        bank = registry.task("passing").bank
        put(registry, "passing", content + 7, update=True)
        merge(registry, filled(folder / "theirs", {"merged": 1}))
        remove_task(registry, "passing")
        collect(registry)
        kept = [path.read_bytes() for path in registry.objects]
        assert not any(b"passing" in data or bank.encode() in data for data in kept)
        never = filled(folder / "never", {**tasks, "merged": 1})
        assert proof(registry, registry.head()).after == proof(never, never.head()).after
        assert registry.head().state == never.head().state and verify(registry) == []


def test_a_merge_leaves_the_other_history_where_it_is(tmp_path: Path) -> None:
    ours, theirs = filled(tmp_path / "ours", {"cells": 1}), filled(tmp_path / "theirs", {"counting": 2})
    merge(ours, theirs)
    told = proof(ours, ours.head())
    assert told.came == {"counting": {1: ours.task("counting").bank}} and told.unchanged == 1
    assert told.before == Held(tasks=1, banks=1, parameters=1, growth_total=0.1)
    assert not ours.objects.path(theirs.head().certificate or "").exists()


def test_an_add_keeps_its_own_certificate(tmp_path: Path) -> None:
    registry = made(tmp_path, "grounding")
    assert registry.head().certificate == registry.task("grounding").record.files["certificate"]
    assert registry.read(registry.head().certificate or "") == b'{"retention":"held"}'


@pytest.mark.parametrize(
    "lie", [{"unchanged": 7}, {"state_before": "0" * 64}, {"after": Held(tasks=9)}, {"came": {"cells": {1: "0" * 64}}}]
)
def test_verify_finds_a_certificate_that_proves_another_commit(tmp_path: Path, lie: dict[str, Any]) -> None:
    registry = filled(tmp_path, {"cells": 1, "counting": 1})

    def with_lie(parent: Snapshot) -> dict[str, Any]:
        true = proof(registry, parent)
        told = true.but(
            state_before=parent.state,
            state_after=parent.state,
            command="router",
            came={},
            unchanged=2,
            before=true.after,
        )
        return {"certificate": registry.objects.put(told.but(**lie).to_bytes())}

    made_of = registry.commit(with_lie, command="router")
    (problem,) = verify(registry)
    assert problem.message == f"does not prove the snapshot {made_of.digest[:12]}"
    assert problem.path == os.path.relpath(registry.objects.path(made_of.certificate or ""), registry.path)
