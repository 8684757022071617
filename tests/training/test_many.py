"""Several processes train one bank: it is that of one process, and a process that is killed ends the run cleanly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from lynx_cl.errors import UsageError
from lynx_cl.training.config import TrainerSettings
from lynx_cl.training.launch import joined
from lynx_cl.training.ranks import Rank, present_rank
from tests.training.many import CASES, MUTE, PAUSE, train

ROOT = Path(__file__).parents[2]
NEAR = 1e-4  # of what two processes train to that of one
LIMIT = 120  # seconds, after which a process hangs


def start(folder: Path, *cases: str, pause: float = 0.0, strategy: str = "ddp", **more: str) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", PAUSE: str(pause), **more}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.training.many", str(folder), strategy, "2", *cases],
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def kill_at(process: subprocess.Popen[str], folder: Path, step: int, rank: int) -> int:
    """Kills a process of a run once it has come to a step; gives its pid."""
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= step:
            break
    pid = int((folder / f"pid-{rank}").read_text())
    os.kill(pid, signal.SIGKILL)
    return pid


def difference(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    assert one.keys() == other.keys()
    return max((tensor - other[name]).abs().max().item() for name, tensor in one.items())


def gone(pid: int) -> bool:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.1)
    return False


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """The folder of every case trained by two processes, and what they said."""
    folder = tmp_path_factory.mktemp("shared")
    process = start(folder, *CASES)
    out, error = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, error
    return folder, out, error


def test_two_processes_give_the_bank_of_one(shared: tuple[Path, str, str], tmp_path: Path) -> None:
    """Steps and weights are shared out unevenly, and one process has no row of some batches."""
    folder, out, error = shared
    assert error == "" and out.split().count("12") == 2 * len(CASES)  # said once, by rank 0
    for case in CASES:
        whole, result = train(tmp_path / case, case)
        expected = safetensors.torch.load(whole)
        assert difference(safetensors.torch.load((folder / f"{case}.safetensors").read_bytes()), expected) < NEAR
        assert difference(train_start(case), expected) > 100 * NEAR  # training goes much further than that
        assert result.history[-1]["val/loss"] < result.history[0]["loss"]


def test_a_base_that_is_shared_out_gives_the_same_bank(shared: tuple[Path, str, str], tmp_path: Path) -> None:
    cases = ("fixed", "sparse", "lora", "gradient")
    process = start(tmp_path, *cases, strategy="fsdp")
    _, error = process.communicate(timeout=LIMIT)
    assert process.returncode == 0 and error == "", error
    for case in cases:
        banks = [safetensors.torch.load((root / f"{case}.safetensors").read_bytes()) for root in (tmp_path, shared[0])]
        assert difference(*banks) < NEAR
        held = [{(root / f"{case}-frozen-{rank}").read_text() for rank in (0, 1)} for root in (tmp_path, shared[0])]
        assert (len(held[0]), len(held[1])) == (2, 1)  # each has a part of the base; else each has the same base


def train_start(case: str) -> dict[str, Tensor]:
    from lynx_cl.banks.base import build_bank
    from lynx_cl.base.taps import find_taps
    from tests.families.tiny import tiny_llava

    family, kind, settings, _ = CASES[case]
    model = tiny_llava(family)
    return build_bank(kind, find_taps(model), model, settings, 0).state()


def test_a_killed_rank_is_one_line_and_the_run_goes_on_to_the_same_bank(
    shared: tuple[Path, str, str], tmp_path: Path
) -> None:
    process = start(tmp_path, "twin", pause=0.5)
    kill_at(process, tmp_path, 6, rank=1)
    killed = time.monotonic()
    _, error = process.communicate(timeout=LIMIT)
    assert process.returncode == 1 and time.monotonic() - killed < 30
    said = "lynx-cl: training: rank 1 of 2 was killed by SIGKILL; the last checkpoint is kept, go on with --resume\n"
    assert error == said
    again = start(tmp_path, "twin")
    out, error = again.communicate(timeout=LIMIT)
    assert again.returncode == 0, error
    assert out.split()[0] in ("6", "10")  # from the checkpoint at step 4 or 8
    undisturbed = (shared[0] / "twin.safetensors").read_bytes()
    assert (tmp_path / "twin.safetensors").read_bytes() == undisturbed
    alone, _ = train(tmp_path / "twin", "twin", resume=True)  # any number of processes goes on from a checkpoint
    assert alone == undisturbed


def test_a_killed_lead_leaves_nobody_waiting(tmp_path: Path) -> None:
    process = start(tmp_path, "twin", pause=0.5)
    kill_at(process, tmp_path, 6, rank=0)
    _, error = process.communicate(timeout=LIMIT)
    assert process.returncode == -signal.SIGKILL
    said = "lynx-cl: training: rank 0 of 2 was killed; the last checkpoint is kept, go on with --resume\n"
    assert error == said
    assert gone(int((tmp_path / "pid-1").read_text()))


def test_what_one_process_complains_of_is_what_is_said(tmp_path: Path) -> None:
    process = start(tmp_path, "twin", **{MUTE: "1"})
    _, error = process.communicate(timeout=LIMIT)
    assert process.returncode == 1
    assert error.startswith("lynx-cl: training: rank 1 of 2 failed: a batch has no answer token; every example needs")
    assert error.count("\n") == 1 and "go on with --resume" in error


def test_ranks_and_settings_that_contradict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert present_rank() == Rank()
    place = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
    for name, value in {**place, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    assert present_rank() == Rank(3, 4, 1, 2)
    with (
        pytest.raises(UsageError, match="trainer.devices=4, but torchrun started 2 processes"),
        joined(TrainerSettings(devices=4), (), tmp_path),
    ):
        pass
    monkeypatch.delenv("MASTER_PORT")
    with (
        pytest.raises(UsageError, match="fsdp shares the base out"),
        joined(TrainerSettings(strategy="fsdp"), (), tmp_path),
    ):
        pass
    monkeypatch.setenv("MASTER_PORT", "1")
    monkeypatch.setenv("RANK", "4")
    with pytest.raises(UsageError, match="rank 4 of 4"):
        present_rank()
    monkeypatch.setenv("RANK", "first")
    with pytest.raises(UsageError, match="RANK=first"):
        present_rank()


def test_facts_that_differ_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from lynx_cl.errors import LynxError

    monkeypatch.setattr(Rank, "gather", lambda self, value: [value, {**value, "base": "other"}])
    with pytest.raises(LynxError, match="rank 1 has another base than rank 0"):
        Rank(0, 2).check_alike({"data": "same", "base": "one"})
    assert torch.equal(Rank().total(torch.ones(2)), torch.ones(2))
