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
from lynx_cl.registry.collect import collect
from lynx_cl.registry.verify import leftovers
from tests.faults import commit_process
from tests.registry.samples import files, made, manifest

ROOT = Path(__file__).parents[2]


def start(path: Path, *tasks: str, fault: str | None = None) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **({faults.VARIABLE: fault} if fault else {})}
    command = [sys.executable, "-m", "tests.faults.commit_process", str(path), *tasks]
    return subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_a_killed_writer_leaves_a_file_that_doctor_can_name(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    process = start(tmp_path, "grounding", fault="object.written")
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
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


def test_eight_processes_that_add_remove_merge_and_collect_lose_nothing(tmp_path: Path) -> None:
    other = made(tmp_path / "other", "counting", "cells")
    path = tmp_path / "shared"
    steps = [
        [f"task{n}-a", f"task{n}-b", f"remove:task{n}-a", f"merge:{other.path}", f"task{n}-c", "gc:"] for n in range(8)
    ]
    writers = [start(path, *own) for own in steps]
    told = [writer.communicate(timeout=120)[0].split() for writer in writers]
    assert told == steps and all(writer.returncode == 0 for writer in writers)
    registry = Registry(path)
    assert set(registry.tasks()) == {f"task{n}-{kind}" for n in range(8) for kind in "bc"} | {"counting", "cells"}
    log = Counter((entry.command, entry.task) for entry in registry.log())
    assert all(log["add-task", f"task{n}-{kind}"] == 1 for n in range(8) for kind in "abc")
    assert all(log["remove-task", f"task{n}-a"] == 1 for n in range(8)) and log["merge", None] == 1
    assert verify(registry) == [] and leftovers(registry) == []


def history(number: int) -> tuple[str, ...]:
    """Steps of every kind that changes a registry, so many tasks long."""
    steps: list[str] = []
    for n in range(number):
        steps += [
            f"a{n}",
            f"b{n}",
            f"update:a{n}",
            "gc:",
            f"update:b{n}",
            f"remove:a{n}",
            "undo:1",
            "drop:",
            f"router:0.{n + 1}",
        ]
    return tuple(steps)


@pytest.mark.slow
def test_kills_at_random_moments(tmp_path: Path) -> None:
    """After each the registry is as an undisturbed one was after what was acknowledged, or after one step more."""
    steps = history(12)
    states = [commit_process.after(tmp_path / "whole").head().state]
    states += [registry.head().state for _, registry in commit_process.run(tmp_path / "whole", *steps)]
    generator = random.Random(0)
    outcomes = Counter[int]()
    for number in range(300):
        registry = commit_process.after(tmp_path / str(number))
        process = start(registry.path, *steps)
        time.sleep(0.15 + generator.random() * 0.6)
        process.kill()
        done = len(process.communicate(timeout=60)[0].split())
        assert verify(registry) == []
        assert registry.head().state in states[done : done + 2]
        collect(registry)
        assert verify(registry) == [] and leftovers(registry) == []
        outcomes[done] += 1
        shutil.rmtree(registry.path)
    assert len(outcomes) > 20  # the kills fell at many different moments
