"""A whole add that is killed, interrupted or out of disk: the registry is as it was, and the add can be done again."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from lynx_cl.registry import Registry
from lynx_cl.registry.verify import verify
from tests.continual.process import add


@pytest.mark.parametrize("point", ["add.measure:2", "add.commit", "head.synced:2"])
def test_killed_after_training_it_goes_on_where_it_was(tmp_path: Path, point: str) -> None:
    home = tmp_path / "home"
    done = add(home, check=False, fault=point)
    assert done.returncode == -signal.SIGKILL, done.stderr
    registry = Registry(home / "registry")
    assert "grounding" not in registry.tasks() and verify(registry) == []
    again = add(home, "--resume")
    assert "train: 4 steps" in again.stderr and "train: step 2 of 4" not in again.stderr  # nothing is trained twice
    assert json.loads(again.stdout)["digest"] == registry.task("grounding").bank
    assert verify(registry) == []


def test_killed_once_the_head_has_moved_the_task_is_there(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert add(home, check=False, fault="head.done:2").returncode == -signal.SIGKILL
    registry = Registry(home / "registry")
    assert registry.tasks() == ("grounding",) and verify(registry) == []
    again = add(home, check=False)
    assert again.returncode == 1 and "is in" in again.stderr


@pytest.mark.parametrize("limit", [2_000_000, 20_000_000])  # too little for a checkpoint; for a checkpoint, not a bank
def test_a_disk_that_fills_is_one_line_and_changes_nothing(tmp_path: Path, limit: int) -> None:
    home = tmp_path / "home"
    done = add(home, "--bank", "twin", check=False, file_limit=limit)
    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if line.startswith("lynx-cl: ")]
    assert len(said) == 1 and "Traceback" not in done.stderr
    assert Registry(home / "registry").tasks() == ()
    add(home, "--bank", "twin")
    assert Registry(home / "registry").tasks() == ("grounding",)


def test_a_home_on_a_read_only_filesystem() -> None:
    home = Path("/sys/lynx-cl-home")  # sysfs takes no folders, not even from root
    if not home.parent.is_dir():
        pytest.skip("this system has no /sys, and root may write everywhere else")
    done = add(home, check=False)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "cannot write here" in done.stderr and "--home" in done.stderr
