"""The settings of an add: the shipped defaults, a file, and key=value from the command line, merged by OmegaConf."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from lynx_cl.base.settings import Seed, Settings, layered, read_settings
from lynx_cl.training.config import TrainConfig, TrainerSettings

DEFAULTS = Path(__file__).with_name("add.yaml")
DEFAULT_KIND = "twin"  # of a bank; in the ten minutes of an add on nano it learns more than lora (README)


class DataSettings(Settings):
    """`limit` is the most pictures of a split, `seed` that of the questions asked about them."""

    limit: int | None = Field(None, ge=1)
    seed: Seed = 0


class TapSettings(Settings):
    """A bank acts at every `every`-th decoder layer, the last one included."""

    every: int = Field(2, ge=1)


class EvaluationSettings(Settings):
    """How many test examples of each task, and of the base's own questions, are answered; how many at a time."""

    examples: int = Field(300, ge=1)
    understanding: int = Field(300, ge=12)
    batch_size: int = Field(64, ge=1)


class RouterSettings(Settings):
    """How many prompts of each task the router keeps."""

    prompts: int = Field(1500, ge=3)


class AddConfig(Settings):
    """Settings of one add. `bank` holds the settings of each bank kind, by kind."""

    bank: dict[str, dict[str, Any]] = {}
    taps: TapSettings = TapSettings()
    train: TrainConfig = TrainConfig()
    trainer: TrainerSettings = TrainerSettings()
    pictures_per_batch: int = Field(12, ge=1)
    data: DataSettings = DataSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    router: RouterSettings = RouterSettings()


def read_config(overrides: Sequence[str] = (), file: Path | None = None) -> AddConfig:
    """The settings in force. Raises UsageError for a file or an override that is wrong, naming the key."""
    values = layered([DEFAULTS, *([file] if file is not None else [])], overrides, "train.steps=600")
    return read_settings(AddConfig, values, str(file) if file is not None else "settings")
