"""What pretraining keeps between steps and stages: weights as safetensors, optimiser states beside them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from lynx_cl.errors import LynxError, UsageError

if TYPE_CHECKING:
    from lynx_cl.base.nano.pretrain import Nano


def save_checkpoint(nano: Nano, stage: str, folder: Path, engines: list, step: int) -> None:
    """Weights and optimiser state, each replaced atomically; the state last, since it names the step."""
    from safetensors.torch import save_file

    weights = {name: value.contiguous() for name, value in nano.state_dict().items() if name != "model.lm_head.weight"}
    save_file(weights, folder / f"{stage}.tmp", metadata={"step": str(step), "sparse": str(nano.is_sparse)})
    torch.save({"step": step, "engines": [engine.state_dict() for engine in engines]}, folder / f"{stage}.state.tmp")
    os.replace(folder / f"{stage}.tmp", folder / f"{stage}.safetensors")
    os.replace(folder / f"{stage}.state.tmp", folder / f"{stage}.state")


def load_weights(nano: Nano, stage: str, folder: Path, prefixes: tuple[str, ...] = ("",)) -> None:
    """Weights of a stage's checkpoint, those whose names begin with one of `prefixes`."""
    from safetensors.torch import load_file

    weights = load_file(folder / f"{stage}.safetensors")
    chosen = {name: value for name, value in weights.items() if name.startswith(prefixes)}
    missing = nano.load_state_dict(chosen, strict=False)
    if missing.unexpected_keys:
        raise LynxError(f"base pretrain: {folder}/{stage}.safetensors holds unknown weights; delete it to start anew")


def load_checkpoint(nano: Nano, stage: str, folder: Path, engines: list) -> int:
    """Continues from a stage's own checkpoint; returns the step to go on from, 0 where there is none."""
    if not (folder / f"{stage}.state").exists():
        return 0
    state = torch.load(folder / f"{stage}.state", weights_only=True)
    load_weights(nano, stage, folder)
    for engine, saved in zip(engines, state["engines"], strict=True):
        engine.load_state_dict(saved)
    return int(state["step"])


def adopt(base: Path, folder: Path) -> None:
    """Takes a finished base's weights, tokenizer and log in place of the first four stages.

    Raises UsageError where the folder is not that of a finished nano.
    """
    from safetensors.torch import save_file
    from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast

    if not (base / "pretraining.jsonl").exists():
        raise UsageError(f"--from {base}: no pretraining.jsonl in it; give the folder of a finished nano")
    folder.mkdir(parents=True, exist_ok=True)
    PreTrainedTokenizerFast.from_pretrained(base).save_pretrained(folder / "tokenizer")
    model = LlavaForConditionalGeneration.from_pretrained(base, dtype=torch.float32)
    state = {f"model.{name}": value.contiguous() for name, value in model.state_dict().items()}
    del state["model.lm_head.weight"]
    save_file(state, folder / "sparse.safetensors")
    shutil.copyfile(base / "pretraining.jsonl", folder / "sparse.jsonl")
