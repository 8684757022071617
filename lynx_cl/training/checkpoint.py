"""The checkpoint of an unfinished run: bank, optimiser, random state and progress; never the base, never a pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from safetensors import safe_open
from torch import Tensor
from torch.optim import Optimizer

from lynx_cl.errors import LynxError
from lynx_cl.registry.durable import write_whole

FILE = "last.safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """One moment of a run. `identity` is what must be equal for the run to go on; `progress` is plain JSON."""

    identity: dict[str, Any]
    progress: dict[str, Any]
    bank: dict[str, Tensor]
    best: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    random: dict[str, Tensor]

    def write(self, folder: Path) -> None:
        """Replaces the folder's checkpoint, whole or not at all. Raises LynxError where the disk refuses."""
        groups = {"bank": self.bank, "best": self.best, "optimizer": self.optimizer, "random": self.random}
        tensors = {f"{g}:{n}": t.detach().cpu().contiguous() for g, group in groups.items() for n, t in group.items()}
        header = {"json": json.dumps({"identity": self.identity, "progress": self.progress})}
        path = folder / FILE
        try:
            data = safetensors.torch.save(tensors, metadata=header)
            write_whole(path, data, scratch=folder, what="checkpoint")
        except OSError as error:
            raise LynxError(
                f"{path}: cannot write the checkpoint ({error.strerror}); the one before is kept, free space and resume"
            ) from error


def read_checkpoint(folder: Path, identity: Mapping[str, Any]) -> Checkpoint | None:
    """The folder's checkpoint, None where there is none.

    Raises LynxError for a damaged file, or one of a run with other settings, data order, bank or base.
    """
    path = folder / FILE
    if not path.exists():
        return None
    groups: dict[str, dict[str, Tensor]] = {"bank": {}, "best": {}, "optimizer": {}, "random": {}}
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads(file.metadata()["json"])
            for key in file.keys():  # noqa: SIM118 (not a mapping)
                group, _, name = key.partition(":")
                groups[group][name] = file.get_tensor(key)
    except (OSError, safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise LynxError(f"{path}: damaged checkpoint ({error}); start again without --resume") from None
    for key, value in identity.items():
        if header["identity"].get(key) != value:
            was = header["identity"].get(key)
            raise LynxError(
                f"{path}: the checkpoint was made with {key} = {_brief(was)}, this run has {_brief(value)}; "
                "start again without --resume"
            )
    return Checkpoint(header["identity"], header["progress"], **groups)


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """An optimiser's state, flat: parameter number and name of the statistic."""
    state = optimizer.state_dict()["state"]
    return {f"{number}.{name}": value for number, values in state.items() for name, value in values.items()}


def restore_optimizer(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Puts back what `optimizer_tensors` gave."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, _, name = key.partition(".")
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _brief(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    return text if len(text) <= 60 else f"{text[:57]}..."
