"""Every command that writes, killed with SIGKILL at every one of its steps: the old state or the new one is there."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from lynx_cl.errors import UsageError
from lynx_cl.registry import Registry, faults, verify
from lynx_cl.registry.archive import export_task, import_archive
from lynx_cl.registry.collect import collect
from lynx_cl.registry.remote import pull, push
from lynx_cl.registry.sign import new_key, sign, signer
from lynx_cl.registry.verify import leftovers
from tests.faults import commit_process
from tests.faults.commit_process import after

Fresh = Callable[[Path], Registry]
fork = multiprocessing.get_context("fork")  # a child that is there at once: hundreds of kills cost seconds


@dataclass(frozen=True)
class Change:
    """A step, and what must have happened before it."""

    step: str
    before: tuple[str, ...] = ()
    fewest_points: int = 15


CHANGES = {
    change.step.partition(":")[0]: change
    for change in (
        Change("add:counting"),
        Change("update:grounding"),
        Change("remove:grounding"),
        Change("merge:FOLDER/other"),
        Change("undo:1", ("counting",)),
        Change("drop:", ("update:grounding",)),
        Change("router:0.05"),
        Change("import:FOLDER/counting.lynx"),
        Change("pull:FOLDER/shared"),
        Change("gc:", ("remove:grounding",), 8),
    )
}


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another registry with two more tasks, also as an archive and at an address."""
    folder = tmp_path_factory.mktemp("elsewhere")
    other = after(folder / "other", "counting", "cells")
    export_task(other, "counting", folder / "counting.lynx")
    push(other, str(folder / "shared"))
    return folder


def points_of(registry: Registry, step: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every fault point that a step passes, as NAME:COUNT, in order. The step is done then."""
    points: list[str] = []
    seen: Counter[str] = Counter()

    def note(name: str) -> None:
        seen[name] += 1
        points.append(f"{name}:{seen[name]}")

    with monkeypatch.context() as patch:
        patch.setattr(faults, "fault_point", note)
        after(registry.path, step)
    return points


def kill(registry: Registry, step: str, point: str) -> None:
    """Run a step in a process of its own, which is killed at a point."""

    def run() -> None:
        faults._passed.clear()
        os.environ[faults.VARIABLE] = point
        after(registry.path, step)

    process = fork.Process(target=run)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL, f"{step} passed {point} alive"


def test_every_step_that_changes_a_registry_is_killed_here_or_below() -> None:
    apart = {"rollback", "push", "export", "sign", "key"}  # `undo` is a rollback
    assert set(commit_process.VERBS) == set(CHANGES) | apart


def test_the_first_add_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No registry, one that is empty, or one with the task."""
    whole = Registry(tmp_path / "whole")
    points = points_of(whole, "grounding", monkeypatch)
    names = {point.split(":")[0] for point in points}
    assert {"object.written", "object.synced", "add.objects", "snapshot.renamed", "log.written", "head.synced"} <= names
    states = {None, whole.head().state, whole.snapshot(whole.log()[0].snapshot).state}
    seen = set()
    for point in points:
        registry = Registry(tmp_path / "killed")
        kill(registry, "grounding", point)
        assert verify(registry) == []
        seen.add(registry.head().state if registry.exists() else None)
        if "grounding" not in registry.tasks():  # the next writer goes on as if nothing had happened
            after(registry.path, "grounding")
        assert verify(registry) == [] and registry.head().state == whole.head().state
        shutil.rmtree(registry.path)
    assert seen == states


@pytest.mark.parametrize("name", CHANGES)
def test_old_state_or_new_one(tmp_path: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    change = CHANGES[name]
    step = change.step.replace("FOLDER", str(elsewhere))
    start = after(tmp_path / "start", "grounding", "reading", *change.before)
    whole = Registry(shutil.copytree(start.path, tmp_path / "whole"))
    points = points_of(whole, step, monkeypatch)
    assert len(points) >= change.fewest_points
    old, new = start.head(), whole.head()
    acknowledged = {entry.snapshot for entry in start.log()}
    seen = set()
    for point in points:
        registry = Registry(shutil.copytree(start.path, tmp_path / "killed"))
        kill(registry, step, point)
        assert verify(registry) == []
        assert acknowledged <= {entry.snapshot for entry in registry.log()}
        seen.add(registry.head().state)
        if (
            name != "gc" and registry.head().state == old.state
        ):  # the same command again goes on as if for the first time
            after(registry.path, step)
            assert registry.head().state == new.state
        collect(registry)
        assert verify(registry) == [] and leftovers(registry) == []
        shutil.rmtree(registry.path)
    assert seen == {old.state, new.state}


def test_a_push_brings_the_old_state_or_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pushed after somebody else: what is there is merged with, and never lost."""
    ours = after(tmp_path / "start", "grounding")
    push(after(tmp_path / "theirs", "counting"), str(tmp_path / "first"))
    step = f"push:{tmp_path / 'there'}"

    def fresh() -> tuple[Registry, Path]:
        for name, source in (("ours", ours.path), ("there", tmp_path / "first")):
            shutil.rmtree(tmp_path / name, ignore_errors=True)
            shutil.copytree(source, tmp_path / name)
        return Registry(tmp_path / "ours"), tmp_path / "there"

    points = points_of(fresh()[0], step, monkeypatch)
    assert len(points) > 60
    seen = set()
    for point in points:
        registry, there = fresh()
        kill(registry, step, point)
        assert verify(registry) == [] and registry.head() == ours.head()
        got = Registry(tmp_path / "got")
        pull(got, str(there))
        assert verify(got) == []
        seen.add(got.tasks())
        push(registry, str(there))
        pull(got, str(there))
        assert got.tasks() == ("counting", "grounding") and verify(got) == []
        collect(registry)
        assert leftovers(registry) == []
        shutil.rmtree(got.path)
    assert seen == {("counting",), ("counting", "grounding")}


def test_an_archive_is_the_old_one_or_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = after(tmp_path / "registry", "grounding")
    file = tmp_path / "out" / "grounding.lynx"
    file.parent.mkdir()
    export_task(registry, "grounding", file)
    after(registry.path, "update:grounding")
    old = file.read_bytes()
    points = points_of(registry, f"export:{file}", monkeypatch)
    new = file.read_bytes()
    seen = set()
    for point in points:
        file.write_bytes(old)
        kill(registry, f"export:{file}", point)
        seen.add(file.read_bytes())
        import_archive(Registry(tmp_path / "other"), file)
        shutil.rmtree(tmp_path / "other")
    assert seen == {old, new} and old != new


def test_a_signature_is_there_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = after(tmp_path / "start", "grounding")
    public = new_key(tmp_path / "k.pem")
    step = f"sign:{tmp_path / 'k.pem'}"
    traced = Registry(shutil.copytree(start.path, tmp_path / "traced"))
    for point in points_of(traced, step, monkeypatch):
        registry = Registry(shutil.copytree(start.path, tmp_path / "killed"))
        kill(registry, step, point)
        assert verify(registry) == []
        sign(registry, tmp_path / "k.pem")
        assert signer(registry, [public]) == public
        collect(registry)
        assert leftovers(registry) == []
        shutil.rmtree(registry.path)


def test_a_key_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = after(tmp_path / "registry", "grounding")
    for point in points_of(registry, f"key:{tmp_path / 'traced.pem'}", monkeypatch):
        folder = tmp_path / point
        folder.mkdir()
        kill(registry, f"key:{folder / 'k.pem'}", point)
        if (folder / "k.pem").exists():
            sign(registry, folder / "k.pem")
            with pytest.raises(UsageError, match="never overwritten"):
                new_key(folder / "k.pem")
        else:
            new_key(folder / "k.pem")
