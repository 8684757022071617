"""The algebra of tasks: any order, any merge, any removal gives the state that its tasks alone define."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lynx_cl.errors import LynxError, UsageError
from lynx_cl.registry import Registry, tree, verify
from lynx_cl.registry.algebra import difference, drop_versions, find_snapshot, merge, remove_task, roll_back
from lynx_cl.registry.canonical import sha256
from lynx_cl.registry.collect import collect
from lynx_cl.registry.merge import merge_entries
from lynx_cl.registry.scratch import writing
from lynx_cl.registry.snapshot import TaskEntry, Version
from lynx_cl.registry.tree import TaskMap
from tests.registry.samples import BASE, OTHER_BASE, made, manifest, record

NAMES = st.sampled_from([f"task{number}" for number in range(40)])


MEMORY = Path("/dev/shm")  # a folder without a disk, where there is one


@contextmanager
def quick_folder() -> Iterator[Path]:
    """A folder of a case, without waiting for a disk, which these properties do not hang on."""
    place = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place) as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield Path(folder)


def cases(count: int) -> settings:
    """So many random cases; no time limit for one, since the machine may be busy."""
    return settings(deadline=None, max_examples=count, suppress_health_check=list(HealthCheck))


class Memory:
    """Objects in memory, for maps that need no disk."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def put(self, data: bytes) -> str:
        self.kept[sha256(data)] = data
        return sha256(data)

    def get(self, digest: str) -> bytes:
        return self.kept[digest]

    def path(self, digest: str) -> Path:
        return Path(digest)


def version(content: int, created: int = 0) -> Version:
    """A made-up version; equal content, equal manifest."""
    digest = sha256(f"content {content}".encode())
    return Version(
        manifest=digest,
        record=sha256(f"record {content} {created}".encode()),
        kind="twin",
        parameters=content,
        growth_total=0.1,
        growth_active=0.1,
        bank=digest,
        created=f"2026-01-01T00:00:{created:02}Z",
    )


@st.composite
def entries(draw: Any) -> TaskEntry:
    """A task of one to three versions."""
    contents = draw(st.lists(st.integers(0, 5), min_size=1, max_size=3, unique=True))
    made_of = {n: version(c, created=c * 7 % 6) for n, c in enumerate(contents, 1)}
    return TaskEntry(current=draw(st.sampled_from(sorted(made_of))), versions=made_of)


STEPS = st.lists(st.tuples(NAMES, st.one_of(st.none(), st.integers(0, 3))), max_size=60)


@cases(700)
@given(steps=STEPS, leaf=st.integers(1, 4))
def test_a_map_is_a_function_of_its_tasks(steps: list[tuple[str, int | None]], leaf: int) -> None:
    """Against a plain dictionary: any sequence of puts and removals ends in the tree built of what is left."""
    model: dict[str, TaskEntry] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree, "LEAF", leaf)
        made_map = TaskMap(Memory())
        for name, content in steps:
            if content is None:
                model.pop(name, None)
                made_map = made_map.without(name)
            else:
                model[name] = TaskEntry(current=1, versions={1: version(content)})
                made_map = made_map.put(name, model[name])
        assert made_map.all() == dict(sorted(model.items())) and list(made_map) == sorted(model)
        assert len(made_map) == len(model)
        assert made_map.root == TaskMap(Memory()).put_all(model).root
        for name, _ in steps:
            assert made_map.get(name) == model.get(name)


@cases(400)
@given(
    ours=st.dictionaries(NAMES, st.integers(0, 2), max_size=40),
    theirs=st.dictionaries(NAMES, st.integers(0, 2), max_size=40),
    leaf=st.integers(1, 4),
)
def test_changes_are_the_names_that_differ(ours: dict[str, int], theirs: dict[str, int], leaf: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree, "LEAF", leaf)
        a, b = (
            TaskMap(Memory()).put_all({n: TaskEntry(current=1, versions={1: version(c)}) for n, c in side.items()})
            for side in (ours, theirs)
        )
        expected = sorted(n for n in {*ours, *theirs} if ours.get(n) != theirs.get(n))
        assert list(a.changes(b)) == list(b.changes(a)) == expected


@cases(700)
@given(a=entries(), b=entries(), c=entries())
def test_settling_by_both_is_commutative_associative_and_idempotent(a: TaskEntry, b: TaskEntry, c: TaskEntry) -> None:
    def both(x: TaskEntry, y: TaskEntry) -> TaskEntry:
        joined = merge_entries(x, y, "both")
        assert joined is not None
        return joined

    one = both(a, a)
    assert one.state_facts() == a.state_facts()
    assert both(a, b) == both(b, a)
    ab, bc = both(a, b), both(b, c)
    assert both(ab, c).state_facts() == both(a, bc).state_facts()
    held = {v.manifest for entry in (a, b) for v in entry.versions.values()}
    assert {v.manifest for v in ab.versions.values()} == held


def test_of_equal_content_the_earlier_record_stays() -> None:
    early, late = (TaskEntry(current=1, versions={1: version(3, created)}) for created in (1, 2))
    assert merge_entries(early, late) == merge_entries(late, early) == early


@cases(300)
@given(a=entries(), b=entries())
def test_without_a_preference_only_equal_content_merges(a: TaskEntry, b: TaskEntry) -> None:
    joined = merge_entries(a, b)
    assert (joined is None) == (a.state_facts() != b.state_facts())
    if joined is not None:
        assert joined == merge_entries(b, a) and joined.state_facts() == a.state_facts()
    assert merge_entries(a, b, "ours") in (a, joined) and merge_entries(a, b, "theirs") in (b, joined)


def filled(path: Path, tasks: dict[str, int], router: dict | None = None) -> Registry:
    """A registry with these tasks (name: content), added in this order."""
    registry = Registry(path)
    registry.init(BASE, "nano", router=router)
    for name, content in tasks.items():
        put(registry, name, content)
    return registry


def put(registry: Registry, name: str, content: int, **how: Any) -> None:
    bank = {"bank": f"weights {content} of {name}".encode(), "router": f"statistics {content} of {name}".encode()}
    registry.add(manifest(name, parameters=content), bank, record(f"2026-01-01T00:00:{content:02}Z"), **how)


SETS = st.dictionaries(st.sampled_from(["cells", "counting", "grounding", "reading", "spatial"]), st.integers(0, 2))


@cases(300)
@given(tasks=SETS, data=st.data())
def test_any_order_and_what_was_removed_leave_no_trace_in_the_state(tasks: dict, data: Any) -> None:
    with quick_folder() as folder:
        plain = filled(folder / "plain", tasks)
        order = data.draw(st.permutations([*tasks, "passing"]))
        other = filled(folder / "other", {name: tasks.get(name, 7) for name in order})
        assert other.head().state != plain.head().state
        remove_task(other, "passing")
        assert other.head().state == plain.head().state and other.list() == plain.list()
        collect(other)
        assert verify(other) == []
        assert not any(b"passing" in path.read_bytes() for path in other.objects)


@cases(300)
@given(a=SETS, b=SETS, c=SETS)
def test_merging_is_a_union(a: dict, b: dict, c: dict) -> None:
    """Commutative, associative, idempotent; equal to adding all to one; or a conflict both ways round."""
    clash = any(x.get(n, y[n]) != y[n] for x, y in itertools.combinations((a, b, c), 2) for n in y)
    with quick_folder() as folder:
        one, two, three = (filled(folder / name, tasks) for name, tasks in (("a", a), ("b", b), ("c", c)))
        left, right = filled(folder / "left", a), filled(folder / "right", c)
        if clash:
            with pytest.raises(LynxError, match=r"conflicts.*--prefer"):
                merge(left, two), merge(left, three)
            with pytest.raises(LynxError, match=r"conflicts.*--prefer"):
                merge(right, two), merge(right, one)
            return
        for other in (two, three, left):
            merge(left, other)
        for other in (two, one):
            merge(right, other)
        whole = filled(folder / "whole", {**a, **b, **c})
        assert left.head().state == right.head().state == whole.head().state
        head = left.head_digest()
        assert merge(left, two).taken == () and left.head_digest() == head
        assert verify(left) == verify(right) == []


def test_a_conflict_is_settled_as_asked(tmp_path: Path) -> None:
    theirs = filled(tmp_path / "theirs", {"cells": 2, "counting": 1})
    for prefer, banks, versions in (("ours", b"weights 1 of cells", 1), ("theirs", b"weights 2 of cells", 1)):
        ours = filled(tmp_path / f"prefer-{prefer}", {"cells": 1})
        done = merge(ours, theirs, prefer)
        assert done.taken == ("counting",)
        assert ours.read(ours.task("cells").bank) == banks and len(ours.entries()["cells"].versions) == versions
    ours = filled(tmp_path / "both", {"cells": 1})
    assert merge(ours, theirs, "both").settled == ("cells",)
    assert [ours.read(ours.task(f"cells@{n}").bank) for n in (1, 2)] == [b"weights 1 of cells", b"weights 2 of cells"]
    assert ours.task("cells").version == 2 and verify(ours) == []


def test_registries_of_other_bases_and_settings_do_not_merge(tmp_path: Path) -> None:
    ours = filled(tmp_path / "ours", {"cells": 1})
    other = Registry(tmp_path / "other")
    other.init(OTHER_BASE, "big")
    with pytest.raises(LynxError, match="fit the base nano"):
        merge(ours, other)
    set_apart = filled(tmp_path / "router", {"cells": 1}, router={"temperature": 2.0})
    with pytest.raises(LynxError, match="router's settings"):
        merge(ours, set_apart)
    merge(ours, set_apart, "theirs")
    assert ours.head().state == set_apart.head().state
    fresh = Registry(tmp_path / "fresh")
    merge(fresh, set_apart)
    assert fresh.head().state == set_apart.head().state and verify(fresh) == []


def test_a_damaged_registry_is_not_merged_from(tmp_path: Path) -> None:
    ours, theirs = filled(tmp_path / "ours", {}), filled(tmp_path / "theirs", {"cells": 1})
    theirs.objects.path(theirs.task("cells").bank).write_bytes(b"other weights")
    with pytest.raises(LynxError, match="bytes have changed"):
        merge(ours, theirs)
    assert ours.tasks() == ()


def test_rolling_back_is_a_commit_and_gives_the_old_state(tmp_path: Path) -> None:
    registry = filled(tmp_path, {"cells": 1})
    before = registry.head()
    put(registry, "cells", 2, update=True)
    put(registry, "counting", 1)
    after = registry.head()
    assert list(difference(registry, before, after).tasks) == ["cells", "counting"]
    roll_back(registry, before.digest[:8])
    assert registry.head().state == before.state and registry.head().digest != before.digest
    assert registry.log()[-1].command == "rollback" and registry.task("cells").version == 1
    roll_back(registry, after.digest)
    assert registry.head().state == after.state and verify(registry) == []
    with pytest.raises(UsageError, match="registry log"):
        find_snapshot(registry, "abc")
    with pytest.raises(UsageError, match="fits 0 snapshots"):
        find_snapshot(registry, "zzzz")


def test_old_versions_stay_until_they_are_dropped(tmp_path: Path) -> None:
    registry = filled(tmp_path, {"cells": 1})
    put(registry, "cells", 2, update=True)
    collect(registry)
    assert registry.read(registry.task("cells@1").bank) == b"weights 1 of cells"
    old = registry.task("cells@1").bank
    assert drop_versions(registry) is not None and drop_versions(registry) is None
    assert collect(registry, dry_run=True).objects > 0 and registry.objects.path(old).is_file()
    collect(registry)
    assert not registry.objects.path(old).exists() and registry.task("cells").version == 2 and verify(registry) == []


def test_collecting_keeps_the_history_it_is_asked_to_keep(tmp_path: Path) -> None:
    registry = filled(tmp_path, {"cells": 1, "counting": 1, "grounding": 1})
    assert collect(registry) == collect(registry, dry_run=True)
    report = collect(registry, keep=2)
    assert report.snapshots == 2 and report.bytes > 0 and verify(registry) == []
    assert len(registry.log()) == 4 and len(list(registry.snapshots.glob("*"))) == 2
    with pytest.raises(LynxError, match="missing"):
        roll_back(registry, registry.log()[1].snapshot)
    put(registry, "reading", 1)
    assert verify(registry) == [] and collect(registry).snapshots == 0


def test_what_a_running_command_has_written_is_not_collected(tmp_path: Path) -> None:
    registry = filled(tmp_path, {"cells": 1, "counting": 1})
    removed = registry.task("cells").bank
    remove_task(registry, "cells")
    with writing(registry.scratch):
        new = registry.objects.put(b"of an add that has not committed yet")
        collect(registry)
        assert registry.objects.path(new).is_file() and not registry.objects.path(removed).exists()
    assert collect(registry).objects == 1 and not registry.objects.path(new).exists()


def test_a_reader_whose_snapshot_is_collected_reads_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = filled(tmp_path, {"cells": 1, "counting": 1})
    reader, read = Registry(tmp_path), Registry.snapshot

    def late(self: Registry, digest: str) -> Any:
        if self is reader and "cells" in registry.tasks():
            remove_task(registry, "cells")
            collect(registry)
        return read(self, digest)

    monkeypatch.setattr(Registry, "snapshot", late)
    assert [row.task for row in reader.list()] == ["counting"] and verify(registry) == []


def test_a_damaged_registry_is_not_collected(tmp_path: Path) -> None:
    registry = filled(tmp_path, {"cells": 1})
    remove_task(registry, "cells")
    path = next(iter(registry.objects))
    path.write_bytes(b"?")
    with pytest.raises(LynxError, match="nothing is removed"):
        collect(registry)


def test_removing_what_is_not_there(tmp_path: Path) -> None:
    registry = made(tmp_path, "grounding")
    with pytest.raises(UsageError, match="known: grounding"):
        remove_task(registry, "gruonding")
