"""The registry as its callers see it: what goes in comes out, in one state digest, one commit at a time."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from lynx_cl.errors import LynxError, UsageError
from lynx_cl.registry import AddRecord, HeadMoved, Registry, verify
from tests.registry.samples import BASE, OTHER_BASE, files, made, manifest, record


def test_a_registry_that_does_not_exist_is_empty_and_stays_so(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    assert not registry.exists() and registry.list() == [] and registry.tasks() == () and verify(registry) == []
    with pytest.raises(LynxError, match="no registry yet"):
        registry.task("grounding")
    assert list(tmp_path.iterdir()) == []


def test_round_trip(tmp_path: Path) -> None:
    registry = made(tmp_path, "grounding")
    again = Registry(tmp_path).task("grounding")
    assert (again.version, again.current) == (1, True)
    assert {role: registry.read(digest) for role, digest in again.manifest.files.items()} == files("grounding")
    assert again.manifest == manifest("grounding").but(files=again.manifest.files)
    assert again.record.but(files={}) == record()
    assert registry.read(again.record.files["certificate"]) == b'{"retention":"held"}'
    assert registry.head().certificate == again.record.files["certificate"]
    assert registry.read(registry.head().base.files["router"]) == b"statistics of the base"
    assert verify(registry) == []


def test_list_rows(tmp_path: Path) -> None:
    counting, grounding = made(tmp_path, "grounding", "counting").list()
    assert (counting.task, grounding.task, grounding.version, grounding.kind) == ("counting", "grounding", 1, "twin")
    assert (grounding.parameters, grounding.growth_total, grounding.growth_active) == (1000, 0.1, 0.05)
    assert (grounding.base, grounding.created) == ("nano", "2026-01-01T00:00:00Z")
    assert grounding.digest == made(tmp_path).task("grounding").manifest.files["bank"]


def test_state_is_free_of_order_time_and_history(tmp_path: Path) -> None:
    tasks = ("cells", "counting", "grounding")
    states, heads = set(), set()
    for number, order in enumerate(itertools.permutations(tasks)):
        registry = Registry(tmp_path / str(number))
        registry.init(BASE, f"name {number}")
        for task in order:
            registry.add(manifest(task), files(task), record(f"2026-01-01T00:00:0{number}Z"), command=f"by {number}")
        states.add(registry.head().state)
        heads.add(registry.head().digest)
    assert len(states) == 1 and len(heads) == 6


def test_state_covers_base_tasks_versions_and_router(tmp_path: Path) -> None:
    def state(number: int, base: str = BASE, router: dict | None = None, **changes: Any) -> str:
        registry = Registry(tmp_path / str(number))
        registry.init(base, "nano", router=router)
        registry.add(manifest(**{"base": base, **changes}), files())
        return registry.head().state

    states = [
        state(0),
        state(1, base=OTHER_BASE),
        state(2, router={"embedder": "text"}),
        state(3, task="counting"),
        state(4, kind="lora"),
    ]
    updated = Registry(tmp_path / "0")
    updated.add(manifest(kind="lora"), files(), update=True)
    assert len({*states, updated.head().state}) == 6


def test_update_adds_a_version_and_keeps_the_old_one(tmp_path: Path) -> None:
    registry = made(tmp_path, "grounding")
    registry.add(manifest(parameters=2000), {"bank": b"better"}, update=True, command="update-task")
    assert registry.task("grounding").version == 2 and registry.list()[0].parameters == 2000
    old = registry.task("grounding@1")
    assert (old.current, old.manifest.parameters) == (False, 1000)
    with pytest.raises(UsageError, match="grounding@1, grounding@2"):
        registry.task("grounding@3")
    with pytest.raises(UsageError, match="nothing to update"):
        registry.add(manifest("cells"), files(), update=True)


def test_what_is_refused_changes_nothing(tmp_path: Path) -> None:
    registry = made(tmp_path, "grounding")
    head = registry.head_digest()
    with pytest.raises(LynxError, match="already, as version 1; updating"):
        registry.add(manifest(), files())
    with pytest.raises(LynxError, match="fit the base nano .bbbbbbbbbbbb., not that of cells .cccccccccccc."):
        registry.add(manifest("cells", base=OTHER_BASE), files())
    with pytest.raises(LynxError, match="fit the base nano"):
        registry.init(OTHER_BASE, "other")
    with pytest.raises(UsageError, match="known: grounding"):
        registry.task("gruonding")
    with pytest.raises(LynxError, match="finite"):
        registry.add(manifest("cells"), files(), AddRecord(created="now", scores={"acc": float("nan")}))
    assert registry.head_digest() == head and registry.init(BASE, "nano").digest == head


def test_a_commit_measured_against_an_older_snapshot_is_refused(tmp_path: Path) -> None:
    registry = made(tmp_path)
    measured = registry.head_digest()
    registry.add(manifest("counting"), files("counting"))
    with pytest.raises(HeadMoved, match="measure again"):
        registry.add(manifest("cells"), files("cells"), expect=measured)
    registry.add(manifest("cells"), files("cells"), expect=registry.head_digest())
    assert registry.tasks() == ("cells", "counting")


def test_log_is_the_chain_of_commits(tmp_path: Path) -> None:
    registry = made(tmp_path, "grounding", "counting")
    log = registry.log()
    assert [(entry.command, entry.task) for entry in log] == [
        ("init", None),
        ("add-task", "grounding"),
        ("add-task", "counting"),
    ]
    assert [entry.parent for entry in log] == [None, log[0].snapshot, log[1].snapshot]
    assert (log[-1].snapshot, log[-1].state) == (registry.head().digest, registry.head().state)
    (tmp_path / "log").unlink()
    assert registry.log() == log


def test_readers_see_a_snapshot_whole_while_the_head_moves_on(tmp_path: Path) -> None:
    registry = made(tmp_path, "grounding")
    before = registry.head()
    registry.add(manifest("counting"), files("counting"))
    assert registry.snapshot(before.digest) == before and list(registry.entries(before)) == ["grounding"]


def test_a_manifest_of_an_unknown_format_or_key_is_named(tmp_path: Path) -> None:
    registry = made(tmp_path, "grounding")
    entry = registry.entries()["grounding"]
    newer = registry.read(entry.versions[1].manifest).replace(b'"format":1', b'"format":2')
    version = entry.versions[1].but(manifest=registry.objects.put(newer))
    tampered = entry.but(versions={1: version})
    registry.commit(lambda head: {"tasks": registry.entries(head).put("grounding", tampered).root}, command="test")
    with pytest.raises(LynxError, match="format: Input should be 1"):
        registry.task("grounding")


def test_a_list_shows_the_score_of_the_add(tmp_path: Path) -> None:
    registry = made(tmp_path, "cells")
    kept = record().but(scores={"blind": {"grounding": 0.75, "base": 1.0}, "aware": {"grounding": 0.8}})
    registry.add(manifest("grounding"), files(), kept)
    assert {row.task: row.score for row in registry.list()} == {"cells": None, "grounding": 0.75}


def test_a_clock_that_goes_backwards_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lynx_cl.registry import store
    from lynx_cl.registry.algebra import remove_task, roll_back
    from lynx_cl.registry.collect import collect

    registry = made(tmp_path)
    for year, task in ((2030, "cells"), (1970, "counting"), (2001, "grounding")):
        monkeypatch.setattr(store, "now", lambda year=year: f"{year}-01-01T00:00:00Z")
        registry.add(manifest(task), files(task), record(f"{year}-01-01T00:00:00Z"))
    assert [entry.task for entry in registry.log()] == [None, "cells", "counting", "grounding"]
    assert registry.tasks() == ("cells", "counting", "grounding") and verify(registry) == []
    earlier = registry.log()[1]
    assert roll_back(registry, earlier.snapshot).state == earlier.state
    remove_task(registry, "cells")
    collect(registry)
    assert registry.tasks() == () and verify(registry) == []
