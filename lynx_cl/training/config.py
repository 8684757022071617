"""The settings of one training run, and its learning rate as a function of the step."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field

from lynx_cl.base.settings import Seed, Settings

COOLDOWN = 0.2  # the share of the time limit over which the learning rate goes down if the time runs out


class TrainConfig(Settings):
    """Settings of `train_bank`.

    `steps` is the length of the cosine; validation, checkpoint and the test for a plateau come every `val_every` steps.
    Training stops early after `patience` validations without a gain of `min_delta`, or after `max_minutes`. `precision`
    auto takes bf16 autocast where the machine computes in it natively. `cache_mb` bounds the picture features kept.
    `gradient_checkpointing` computes a bank's activations anew in the backward pass: less memory, more time.
    `loss` is the step loss, or the plain mean over answer tokens.
    """

    steps: int = Field(1000, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    warmup: float = Field(0.05, ge=0, lt=1)  # share of `steps`
    final: float = Field(0.02, ge=0, le=1)  # share of `learning_rate` at the end
    weight_decay: float = Field(0.0, ge=0)
    gradient_clip: float = Field(1.0, gt=0)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    val_every: int = Field(100, ge=1)
    patience: int = Field(5, ge=1)
    min_delta: float = Field(1e-4, ge=0)
    max_minutes: float | None = Field(None, gt=0)
    log_every: int = Field(20, ge=1)
    cache_mb: int = Field(1024, ge=0)
    gradient_checkpointing: bool = False
    seed: Seed = 0
    loss: Literal["step", "plain"] = "step"


class TrainerSettings(Settings):
    """On what a bank is trained: `devices` is the number of processes on this machine, one a GPU where there are GPUs.

    Under torchrun, `devices` are what it started. With `strategy` ddp, which is what auto means, each has the whole
    base; with fsdp each keeps a part of the base's frozen decoder layers.
    """

    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    devices: int = Field(1, ge=1, le=1024)


def learning_rate(config: TrainConfig, step: int, seconds: float = 0.0) -> float:
    """The rate of a step counted from 0: linear warm-up, then a cosine down to `final` at the last step.

    With `max_minutes` it also falls to `final` over the last fifth of the time, so that a run cut by the clock has
    cooled down; a run that ends before that fifth does not depend on the clock.

    >>> config = TrainConfig(steps=100, learning_rate=1.0, warmup=0.1, final=0.0)
    >>> [round(learning_rate(config, step), 3) for step in (0, 9, 10, 55, 100)]
    [0.1, 1.0, 1.0, 0.5, 0.0]
    """
    warm = round(config.warmup * config.steps)
    if step < warm:
        factor = (step + 1) / warm
    else:
        progress = min(1.0, (step - warm) / max(1, config.steps - warm))
        factor = config.final + (1 - config.final) * 0.5 * (1 + math.cos(math.pi * progress))
    if config.max_minutes is not None:
        left = 1 - seconds / (60 * config.max_minutes)
        factor = min(factor, max(config.final, left / COOLDOWN))
    return config.learning_rate * factor


def autocasts(config: TrainConfig, device: torch.device) -> bool:
    """Whether this run computes in bf16 autocast on this device."""
    if config.precision != "auto":
        return config.precision == "bfloat16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    abilities: dict = getattr(torch.cpu, "get_capabilities", dict)()
    return device.type == "cpu" and bool(abilities.get("avx512_bf16") or abilities.get("amx_bf16"))
