"""Bases larger than memory: layers spread over GPUs, main memory and disk by accelerate, through transformers.

What lies in main memory is brought to a GPU, and what lies on disk is read, where it is computed with, and dropped
again: its parameters have no data of their own meanwhile. A backward holds on to what its forward read, so that a bank
is best trained with `train.gradient_checkpointing`.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lynx_cl.errors import LynxError

if TYPE_CHECKING:
    from lynx_cl.banks.base import Bank
    from lynx_cl.base.card import BaseCard

ELSEWHERE = ("cpu", "disk")  # in a device map: places that are no GPU


def spreading(card: BaseCard) -> dict[str, Any]:
    """What transformers is to be told so that it spreads a base as its card says; nothing where it says nothing.

    Raises LynxError for an amount of memory that is none.
    """
    if card.device_map == "none":
        if card.max_memory:
            raise LynxError("its card limits max_memory, which holds with device_map: auto, balanced or sequential")
        return {}
    most = {int(place) if place.isdigit() else place: amount for place, amount in card.max_memory.items()}
    _check_amounts(card.max_memory)
    folder = tempfile.mkdtemp(prefix="lynx-cl-offloaded-")
    return {"device_map": card.device_map, "max_memory": most or None, "offload_folder": folder}


def clear_away(model: Any, options: Mapping[str, Any]) -> None:
    """Removes what was written for a spread model once it is gone; at once where there is no model."""
    if "offload_folder" not in options:
        return
    if model is None:
        shutil.rmtree(options["offload_folder"], ignore_errors=True)
    else:
        weakref.finalize(model, shutil.rmtree, options["offload_folder"], True)


def is_spread(model: Any) -> bool:
    """Whether accelerate places a model's layers, so that it must not be moved."""
    return getattr(model, "_hf_hook", None) is not None


def is_elsewhere(module: nn.Module) -> bool:
    """Whether a module, or one within it, has weights that are read only where they are computed with."""
    return any(parameter.is_meta for parameter in module.parameters())


def device_of(model: Any) -> torch.device:
    """Where a model wants its inputs.

    >>> device_of(nn.Linear(1, 1))
    device(type='cpu')
    """
    if is_spread(model):
        cards = [place for place in model.hf_device_map.values() if place not in ELSEWHERE]
        return torch.device(cards[0] if cards else "cpu")
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def move(model: Any, device: torch.device) -> None:
    """Moves a model, unless it is spread."""
    if not is_spread(model):
        model.to(device)


def put_beside(bank: Bank, model: nn.Module) -> None:
    """Moves each part of a bank to where its site computes."""
    for site in bank.sites:
        module = model.get_submodule(site)
        hook = getattr(module, "_hf_hook", None)
        device = getattr(hook, "execution_device", None)
        bank.part(site).to(device_of(module) if device is None else torch.device(device))


def weight(module: nn.Module, name: str) -> Tensor:
    """A module's own parameter or buffer, read where it lies elsewhere."""
    tensor: Tensor = getattr(module, name)
    return _kept(module)[name] if tensor.is_meta else tensor


def in_memory(module: nn.Module, name: str) -> bool:
    """Whether a module's own parameter lies in some memory, rather than on disk."""
    if not getattr(module, name).is_meta:
        return True
    kept = _kept(module)
    return f"{kept.prefix}{name}" in kept.dataset.state_dict


def owners(model: nn.Module) -> Iterator[tuple[str, nn.Module, str]]:
    """Every tensor of a model's state by name, with the module that owns it and its name there."""
    modules = dict(model.named_modules(remove_duplicate=False))
    for name in model.state_dict(keep_vars=True):
        place, _, own = name.rpartition(".")
        yield name, modules[place], own


def _kept(module: nn.Module) -> Any:
    """accelerate's mapping from a module's own names to its weights, wherever they lie."""
    hook: Any = module._hf_hook
    return hook.weights_map


def _check_amounts(amounts: Mapping[str, str]) -> None:
    from accelerate.utils import convert_file_size_to_int

    for place, amount in amounts.items():
        if not (place.isdigit() or place in ELSEWHERE):
            raise LynxError(f"max_memory: '{place}' is no place; give cpu, or the number of a GPU")
        try:
            known = convert_file_size_to_int(amount) > 0
        except ValueError:
            known = False
        if not known:
            raise LynxError(f"max_memory: '{place}' has '{amount}', which is no amount of memory; give it as 20GiB")
