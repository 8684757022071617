"""Training a bank on a tiny base: it learns, the base stays, seeds decide, a killed run ends as if it had not been."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from lynx_cl.banks.base import Bank, bank_bytes, build_bank
from lynx_cl.base.fingerprint import digest
from lynx_cl.base.taps import find_taps
from lynx_cl.errors import LynxError
from lynx_cl.training.checkpoint import FILE
from lynx_cl.training.config import TrainConfig
from lynx_cl.training.trainer import TrainResult, train_bank
from tests.families.tiny import Batch, tiny_base, tiny_batch

CONFIG = TrainConfig(steps=30, val_every=10, log_every=5, learning_rate=3e-2, precision="float32")


def epochs(seed: int) -> list[Batch]:
    return [tiny_batch(8, seed=seed % 1000 + i) for i in range(7)]


def validation() -> list[Batch]:
    return [tiny_batch(8, seed=5000), tiny_batch(4, seed=5001)]


def train(folder: Path, config: TrainConfig = CONFIG, kind: str = "twin", **options: Any) -> tuple[Bank, TrainResult]:
    base = tiny_base(options.pop("family", "qwen3_moe"))
    bank = build_bank(kind, find_taps(base.model), base.model, options.pop("bank", {}), config.seed)
    return bank, train_bank(base, bank, epochs, validation(), config, folder, **options)


@pytest.mark.parametrize(
    ("family", "kind", "bank"),
    [
        ("qwen3_moe", "twin", {}),
        ("qwen3_moe", "lora", {"attention": True}),
        ("llama", "twin", {}),
        ("llama", "lora", {}),
    ],
)
def test_a_bank_learns_and_the_base_stays(tmp_path: Path, family: str, kind: str, bank: dict) -> None:
    records: list[dict] = []
    trained, result = train(tmp_path, kind=kind, family=family, bank=bank, on_log=records.append)
    losses = [r["val/loss"] for r in result.history if "val/loss" in r]
    assert len(losses) == 3 and losses[-1] < 0.8 * losses[0]
    assert result.best_val == min(losses) and result.best_step == 30
    assert result.frozen_digest_before == result.frozen_digest_after
    assert result.bank_digest == digest(trained.state().items())
    assert (result.stopped, result.steps) == ("steps", 30)
    assert not any(p.requires_grad for p in trained.parameters())
    assert records == result.history
    logged = next(r for r in records if "loss" in r)
    assert {"step", "seconds", "loss", "loss/where", "loss/answer", "learning_rate"} == logged.keys()
    assert all(torch.isfinite(t).all() for t in trained.state().values())


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"precision": "bfloat16"})
    first, again = train(tmp_path / "a", config)[0], train(tmp_path / "b", config)[0]
    other, _ = train(tmp_path / "c", config.model_copy(update={"seed": 1}))
    assert bank_bytes(first) == bank_bytes(again) != bank_bytes(other)


def test_a_plateau_stops_and_the_best_bank_is_kept(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"steps": 200, "patience": 2, "min_delta": 100.0})
    bank, result = train(tmp_path, config)
    losses = {r["step"]: r["val/loss"] for r in result.history if "val/loss" in r}
    assert (result.stopped, result.steps) == ("plateau", 30)
    assert losses[result.best_step] == result.best_val == min(losses.values())
    _, again = train(tmp_path, config, resume=True)  # nothing is left to do
    assert (again.stopped, again.steps, again.bank_digest) == ("plateau", 30, result.bank_digest)


def test_the_clock_stops_and_a_longer_limit_goes_on(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"steps": 100_000, "val_every": 1000, "max_minutes": 0.02})
    _, result = train(tmp_path, config)
    assert result.stopped == "time" and 0 < result.steps < 100_000 and result.seconds < 30
    assert any("val/loss" in r for r in result.history)
    _, longer = train(tmp_path, config.model_copy(update={"max_minutes": 0.04}), resume=True)
    assert longer.steps > result.steps


def test_a_checkpoint_of_other_data(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"steps": 10})
    train(tmp_path, config)
    base = tiny_base()
    bank = build_bank("twin", find_taps(base.model), base.model, {}, 0)
    with pytest.raises(LynxError, match="made with validation = "):
        train_bank(base, bank, epochs, [tiny_batch(2, seed=1)], config, tmp_path, resume=True)


def test_the_bar(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    train(tmp_path, CONFIG.model_copy(update={"steps": 10}), progress=True)
    out, error = capfd.readouterr()
    assert out == ""
    assert "10/10" in error and "validation" in error


def test_a_quiet_run_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    train(tmp_path, CONFIG.model_copy(update={"steps": 10}))
    assert "".join(capfd.readouterr()) == ""


def test_a_loss_that_is_not_finite(tmp_path: Path) -> None:
    with pytest.raises(LynxError, match=r"the loss is nan at step \d+; lower learning_rate \(it is 1e\+20\)"):
        train(tmp_path, CONFIG.model_copy(update={"learning_rate": 1e20, "warmup": 0.0}))


def test_a_disk_that_fills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lynx_cl.training.checkpoint.write_whole", full)
    with pytest.raises(LynxError, match="cannot write the checkpoint .No space left on device."):
        train(tmp_path)


def test_a_checkpoint_of_another_bank(tmp_path: Path) -> None:
    train(tmp_path, CONFIG.model_copy(update={"steps": 10}))
    with pytest.raises(LynxError, match='made with kind = "twin", this run has "lora"; start again without --resume'):
        train(tmp_path, CONFIG.model_copy(update={"steps": 10}), kind="lora", resume=True)


def test_the_checkpoint_holds_no_base(tmp_path: Path) -> None:
    from safetensors import safe_open

    bank, _ = train(tmp_path, CONFIG.model_copy(update={"steps": 10}))
    with safe_open(tmp_path / FILE, "pt") as file:
        held = sum(file.get_tensor(key).numel() for key in file.keys() if not key.startswith("random:"))  # noqa: SIM118
    own = sum(p.numel() for p in bank.parameters())
    small = [p for p in bank.parameters() if p.ndim < 2]
    # bank, best and momentum of everything; for vectors a second moment and a step count besides
    assert held == 3 * own + sum(p.numel() + 1 for p in small)


def test_no_validation_and_no_answer(tmp_path: Path) -> None:
    base = tiny_base()
    bank = build_bank("lora", find_taps(base.model), base.model, {}, 0)
    with pytest.raises(LynxError, match="no validation batches"):
        train_bank(base, bank, epochs, [], CONFIG, tmp_path)
    empty = tiny_batch(2)
    empty.labels.fill_(-100)
    with pytest.raises(LynxError, match="a batch has no answer token"):
        train_bank(base, bank, lambda seed: [empty], validation(), CONFIG, tmp_path)


RUN = """
import signal, sys, time
from pathlib import Path
from tests.training.test_trainer import train

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it from the start

def on_log(record):
    print(record["step"], flush=True)
    time.sleep(0.5)  # time for the signal to come before the next step

train(Path(sys.argv[1]), on_log=on_log)
"""


def run_until(folder: Path, step: int, number: signal.Signals) -> subprocess.Popen:
    """A run in a process of its own, with as many threads as here, that gets a signal at a step."""
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(folder)],
        cwd=root,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= step:
            process.send_signal(number)
            break
    return process


@pytest.mark.parametrize(("step", "left"), [(5, False), (15, True)])
def test_a_killed_run_resumes_to_the_same_bank(tmp_path: Path, step: int, left: bool) -> None:
    process = run_until(tmp_path / "killed", step, signal.SIGKILL)
    assert process.wait(timeout=60) == -signal.SIGKILL
    assert (tmp_path / "killed" / FILE).exists() == left  # the first checkpoint comes at step 10
    bank, result = train(tmp_path / "killed", resume=True)
    whole, expected = train(tmp_path / "whole")
    assert bank_bytes(bank) == bank_bytes(whole)
    assert [r.get("val/loss") for r in result.history] == [r.get("val/loss") for r in expected.history]


def test_ctrl_c_is_one_line_and_leaves_a_checkpoint(tmp_path: Path) -> None:
    process = run_until(tmp_path, 15, signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 1
    last = error.strip().splitlines()[-1]
    assert "Interrupted: training: interrupted at step" in last and "go on with --resume" in last
    assert train(tmp_path, resume=True)[1].steps == 30
