"""The settings of an add: the shipped defaults, a file, and key=value from the command line, merged by OmegaConf."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from lynx_cl.base.settings import Settings, read_settings
from lynx_cl.errors import UsageError
from lynx_cl.training.config import TrainConfig

DEFAULTS = Path(__file__).with_name("add.yaml")


class DataSettings(Settings):
    """`limit` is the most pictures of a split, `seed` that of the questions asked about them."""

    limit: int | None = Field(None, ge=1)
    seed: int = Field(0, ge=0)


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
    pictures_per_batch: int = Field(12, ge=1)
    data: DataSettings = DataSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    router: RouterSettings = RouterSettings()


def read_config(overrides: Sequence[str] = (), file: Path | None = None) -> AddConfig:
    """The settings in force. Raises UsageError for a file or an override that is wrong, naming the key."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    for text in overrides:
        if "=" not in text:
            raise UsageError(f"setting {text!r}: give it as key=value, for instance train.steps=600")
    where = "settings"
    try:
        merged: Any = OmegaConf.load(DEFAULTS)
        if file is not None:
            where = str(file)
            merged = OmegaConf.merge(merged, OmegaConf.load(file))
        merged = OmegaConf.merge(merged, OmegaConf.from_dotlist(list(overrides)))
        values = OmegaConf.to_container(merged, resolve=True)
    except FileNotFoundError:
        raise UsageError(f"{file}: no such settings file") from None
    except (OmegaConfBaseException, YAMLError, ValueError) as error:
        raise UsageError(f"{where}: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise UsageError(f"{where}: settings are a mapping of keys to values")
    return read_settings(AddConfig, {str(key): value for key, value in values.items()}, where)
