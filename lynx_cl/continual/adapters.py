"""Adapters of peft in a base's own model: where they go, and putting them there."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn

from lynx_cl.base.taps import decoder_layers
from lynx_cl.errors import LynxError


def linear_names(model: Any) -> list[str]:
    """Module paths of every linear projection of the decoder's layers. Raises LynxError where there is none."""
    prefix, layers = decoder_layers(model)
    names = [f"{prefix}.{name}" for name, module in layers.named_modules() if isinstance(module, nn.Linear)]
    if not names:
        raise LynxError(f"base {type(model).__name__}: its decoder has no linear projections for an adapter")
    return names


def stacked_names(model: Any) -> list[str]:
    """Paths of the decoder's parameters that hold the matrices of many experts in one stack, (experts, out, in)."""
    prefix, layers = decoder_layers(model)
    return [f"{prefix}.{name}" for name, parameter in layers.named_parameters() if parameter.dim() == 3]


def inject(model: Any, config: Any, seed: int, name: str = "default") -> None:
    """Puts adapters of a peft config into a model, the same for the same seed. Raises LynxError where peft cannot."""
    from peft import inject_adapter_in_model

    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        try:
            inject_adapter_in_model(config, model, adapter_name=name)
        except ValueError as error:
            raise LynxError(f"base {type(model).__name__}: takes no adapter: {str(error).splitlines()[0]}") from None
    model.requires_grad_(False).eval()


def adapter_names(model: Any, mark: str) -> list[str]:
    """Names of the parameters that an adapter put into a model: those that hold `mark`."""
    return [name for name, _ in model.named_parameters() if mark in name]
