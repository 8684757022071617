"""A training run of one or several processes, on a tiny base and uneven batches: `python -m tests.training.many FOLDER
STRATEGY DEVICES CASE...` trains a bank for each case and leaves it as FOLDER/CASE.safetensors."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from lynx_cl.banks.base import bank_bytes, build_bank
from lynx_cl.base.taps import find_taps
from lynx_cl.errors import LynxError
from lynx_cl.training.config import TrainConfig, TrainerSettings
from lynx_cl.training.launch import joined
from lynx_cl.training.ranks import ALONE, Rank, present_rank
from lynx_cl.training.trainer import TrainResult, train_bank
from tests.families.tiny import Batch, tiny_base, tiny_batch

CONFIG = TrainConfig(steps=12, val_every=4, log_every=2, learning_rate=2e-2, precision="float32")
CASES: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "twin": ("llama", "twin", {}, {}),
    "fixed": ("llama", "twin", {"alpha": "fixed"}, {"gradient_checkpointing": True}),
    "sparse": ("qwen3_moe", "twin", {}, {}),
    "lora": ("qwen3_moe", "lora", {"attention": True}, {"loss": "plain", "max_minutes": 60.0}),
    "gradient": ("llama", "lora", {"experts": 1, "start": "gradient"}, {}),
}
MUTE = "LYNX_CL_TEST_MUTE"  # the number of a process whose rows lose their answers from the second epoch on
PAUSE = "LYNX_CL_TEST_PAUSE"  # seconds after each record: time for a signal to come


def uneven(rows: int, seed: int) -> Batch:
    """Rows with one answered step or both, of other weights each: shares of it hold unlike numbers of both."""
    batch = tiny_batch(rows, seed)
    draw = torch.Generator().manual_seed(seed)
    one = torch.rand(rows, generator=draw) < 0.5
    batch.labels[one[:, None] & (batch.step_ids == 0)] = -100
    return replace(batch, step_weights=0.2 + torch.rand(rows, 2, generator=draw))


def share(batch: Batch, rank: Rank) -> Batch:
    """A process's rows of a batch; where there are none, the first at no weight."""
    rows = list(rank.share(range(len(batch.labels))))
    if not rows:
        return replace(share(batch, Rank(0, len(batch.labels))), step_weights=torch.zeros(1, 2))
    tensors = {name: value[rows] for name, value in vars(batch).items() if isinstance(value, torch.Tensor)}
    return replace(batch, **tensors)


def train(folder: Path, case: str, rank: Rank = ALONE, **options: Any) -> tuple[bytes, TrainResult]:
    """Trains a case's bank; `folder` holds the checkpoint."""
    family, kind, settings, training = CASES[case]
    config = CONFIG.model_copy(update=training)

    def epochs(seed: int) -> list[Batch]:
        sizes = (7, 1, 5, 8)  # with two processes one has no row of the second
        seeds.append(seed)
        own = [share(uneven(size, seed % 1000 + i), rank) for i, size in enumerate(sizes)]
        if os.environ.get(MUTE) == str(rank.number) and len(seeds) > 1:
            own[0].labels.fill_(-100)
        return own

    seeds: list[int] = []

    validation = [uneven(size, 5000 + size) for size in (6, 3, 1)]
    base = tiny_base(family)
    bank = build_bank(kind, find_taps(base.model), base.model, settings, config.seed)
    result = train_bank(base, bank, epochs, validation, config, folder, rank=rank, **options)
    return bank_bytes(bank), result


def main(folder: Path, strategy: Any, devices: int, cases: list[str]) -> int:
    def on_log(record: dict[str, float]) -> None:
        print(int(record["step"]), flush=True)
        time.sleep(float(os.environ.get(PAUSE, 0)))

    try:
        (folder / f"pid-{present_rank().number}").write_text(str(os.getpid()))
        command = [sys.executable, "-m", "tests.training.many", *sys.argv[1:]]
        settings = TrainerSettings(devices=devices, strategy=strategy)
        with joined(settings, command, folder / cases[0]) as rank:
            for case in cases:
                own = folder / case
                bank, result = train(own, case, rank, resume=True, on_log=on_log, shard=settings.strategy == "fsdp")
                (folder / f"{case}-frozen-{rank.number}").write_text(result.frozen_digest_after)
                if rank.leads:
                    (folder / f"{case}.safetensors").write_bytes(bank)
    except LynxError as error:
        print(f"lynx-cl: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4:]))
