"""A whole add whose bank is trained by two processes: everything else is done once, by the first of them."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import safetensors.torch
from torch import Tensor

from lynx_cl.registry import Registry
from lynx_cl.registry.verify import verify
from tests.continual.process import add

PRECISE = "train.precision=float32"


def bank(home: Path) -> dict[str, Tensor]:
    registry = Registry(home / "registry")
    return safetensors.torch.load(registry.objects.read(registry.task("grounding").bank))


def test_two_devices(tmp_path: Path) -> None:
    home = tmp_path / "home"
    done = add(home, PRECISE, "trainer.devices=2")
    assert json.loads(done.stdout)["digest"] == Registry(home / "registry").task("grounding").bank
    lines = done.stderr.splitlines()
    assert len(lines) == len(set(lines))  # nothing is said by both
    assert "train: 2 processes share each batch" in lines and sum(line.startswith("train: step") for line in lines) == 2
    with closing(sqlite3.connect(home / "mlflow.db")) as store:
        assert store.execute("select status from runs").fetchall() == [("FINISHED",)]
        logged = store.execute("select count(*) from metrics where key = 'train/val/loss'").fetchone()
    assert logged == (2,)
    assert verify(Registry(home / "registry")) == [] and not any((home / "checkpoints").iterdir())


def test_devices_that_make_no_sense(tmp_path: Path) -> None:
    done = add(tmp_path / "home", "trainer.strategy=fsdp", check=False)
    assert done.returncode == 2 and "give trainer.devices as well" in done.stderr.splitlines()[-1]
    done = add(tmp_path / "home", "trainer.strategy=tpu", check=False)
    assert done.returncode == 2 and "trainer.strategy" in done.stderr and "fsdp" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_the_bank_is_that_of_one_device(tmp_path: Path, strategy: str) -> None:
    add(tmp_path / "one", PRECISE)
    add(tmp_path / "two", PRECISE, "trainer.devices=2", f"trainer.strategy={strategy}")
    one, two = bank(tmp_path / "one"), bank(tmp_path / "two")
    assert max((tensor - two[name]).abs().max().item() for name, tensor in one.items()) < 1e-4
