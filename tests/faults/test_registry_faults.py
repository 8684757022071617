"""Killed at any point, a registry is at the old or the new snapshot; many writers lose no acknowledged commit."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from lynx_cl.registry import Registry, faults, verify
from lynx_cl.registry.algebra import remove_task
from lynx_cl.registry.verify import leftovers
from tests.faults import commit_process
from tests.registry.samples import files, made, manifest

ROOT = Path(__file__).parents[2]


def start(path: Path, *tasks: str, fault: str | None = None) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **({faults.VARIABLE: fault} if fault else {})}
    command = [sys.executable, "-m", "tests.faults.commit_process", str(path), *tasks]
    return subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def points_of(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every fault point that a first add passes, as NAME:COUNT, in order."""
    passed: list[str] = []
    seen: Counter[str] = Counter()

    def note(name: str) -> None:
        seen[name] += 1
        passed.append(f"{name}:{seen[name]}")

    with monkeypatch.context() as patch:
        patch.setattr(faults, "fault_point", note)
        made(path, "grounding")
    return passed


def killed(path: Path, fault: str) -> None:
    process = start(path, "grounding", fault=fault)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, f"the process passed {fault} alive"


def test_a_kill_at_every_named_point_leaves_the_old_or_the_new_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = points_of(tmp_path / "traced", monkeypatch)
    names = {point.split(":")[0] for point in points}
    assert {"object.written", "object.synced", "add.objects", "snapshot.renamed", "log.written", "head.synced"} <= names
    whole = made(tmp_path / "whole", "grounding")
    outcomes = set()
    for number, point in enumerate(sorted({point for point in points if point.split(":")[1] in ("1", "2")})):
        registry = Registry(tmp_path / str(number))
        killed(registry.path, point)
        assert verify(registry) == []
        states = {"no registry"} if not registry.exists() else {registry.head().state}
        outcomes |= states
        assert states <= {"no registry", whole.head().state, whole.snapshot(whole.log()[0].snapshot).state}
        if "grounding" not in registry.tasks():  # the next writer goes on as if nothing had happened
            made(registry.path, "grounding")
        assert verify(registry) == [] and registry.head().state == whole.head().state
        shutil.rmtree(registry.path)
    assert len(outcomes) == 3


def test_a_killed_writer_leaves_a_file_that_doctor_can_name(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    killed(tmp_path, "object.written")
    assert [path.name.split("-")[0] for path in leftovers(registry)] == ["object"]


def test_an_error_while_writing_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = made(tmp_path, "grounding")
    head = registry.head_digest()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            registry.add(manifest("counting"), files("counting"))
    assert registry.head_digest() == head and leftovers(registry) == [] and verify(registry) == []
    registry.add(manifest("counting"), files("counting"))
    assert registry.tasks() == ("counting", "grounding")


def test_two_processes_at_once_lose_no_acknowledged_commit(tmp_path: Path) -> None:
    writers = [start(tmp_path, *(f"task{writer}-{number}" for number in range(8))) for writer in range(2)]
    acknowledged = {task for writer in writers for task in writer.communicate(timeout=60)[0].split()}
    registry = Registry(tmp_path)
    assert len(acknowledged) == 16 and set(registry.tasks()) == acknowledged
    assert {entry.task for entry in registry.log()} == acknowledged | {None}
    assert verify(registry) == []


CHANGES = {"-grounding": "remove", "+OTHER": "merge", "gc": "collect"}


@pytest.mark.parametrize("step", CHANGES)
def test_a_kill_at_every_point_of_a_change_leaves_the_old_or_the_new_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    other = made(tmp_path / "other", "counting", "cells")
    step = step.replace("OTHER", str(other.path))

    def fresh(name: str) -> Registry:
        registry = made(tmp_path / name, "grounding", "reading")
        if step == "gc":
            remove_task(registry, "reading")
        return registry

    points: list[str] = []
    seen: Counter[str] = Counter()
    whole = fresh("whole")
    old = whole.head().state

    def note(name: str) -> None:
        seen[name] += 1
        points.append(f"{name}:{seen[name]}")

    with monkeypatch.context() as patch:
        patch.setattr(faults, "fault_point", note)
        commit_process.main(str(whole.path), step)
    states = set()
    for number, point in enumerate(dict.fromkeys([*points[:3], *points[-12:]])):
        registry = fresh(str(number))
        process = start(registry.path, step, fault=point)
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL, f"the process passed {point} alive"
        assert verify(registry) == []
        states.add(registry.head().state)
        commit_process.main(str(registry.path), "gc")  # the next writer collects what the killed one left
        assert verify(registry) == [] and leftovers(registry) == []
        shutil.rmtree(registry.path)
    assert states <= {old, whole.head().state} and old in states


def test_eight_processes_that_add_remove_merge_and_collect_lose_nothing(tmp_path: Path) -> None:
    other = made(tmp_path / "other", "counting", "cells")
    path = tmp_path / "shared"
    steps = [[f"task{n}-a", f"task{n}-b", f"-task{n}-a", f"+{other.path}", f"task{n}-c", "gc"] for n in range(8)]
    writers = [start(path, *own) for own in steps]
    told = [writer.communicate(timeout=120)[0].split() for writer in writers]
    assert told == steps and all(writer.returncode == 0 for writer in writers)
    registry = Registry(path)
    assert set(registry.tasks()) == {f"task{n}-{kind}" for n in range(8) for kind in "bc"} | {"counting", "cells"}
    log = Counter((entry.command, entry.task) for entry in registry.log())
    assert all(log["add-task", f"task{n}-{kind}"] == 1 for n in range(8) for kind in "abc")
    assert all(log["remove-task", f"task{n}-a"] == 1 for n in range(8)) and log["merge", None] == 1
    assert verify(registry) == [] and leftovers(registry) == []


@pytest.mark.slow
def test_kills_at_random_moments(tmp_path: Path) -> None:
    generator = random.Random(0)
    outcomes = Counter[int]()
    for number in range(300):
        registry = made(tmp_path / str(number))
        process = start(registry.path, *(f"task{count}" for count in range(100)))
        time.sleep(0.15 + generator.random() * 0.4)
        process.kill()
        acknowledged = set(process.communicate(timeout=60)[0].split())
        assert verify(registry) == []
        assert acknowledged <= set(registry.tasks()) and len(registry.tasks()) <= len(acknowledged) + 1
        outcomes[len(acknowledged)] += 1
        shutil.rmtree(registry.path)
    assert len(outcomes) > 5  # the kills fell at many different moments
