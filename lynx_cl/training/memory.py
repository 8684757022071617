"""What memory a bank's training and its answers take: measured on one row, and counted up for the batches of an add."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lynx_cl.banks.base import build_bank
from lynx_cl.base.quantise import held_bytes, plain_tensors
from lynx_cl.base.spread import in_memory
from lynx_cl.base.taps import Tap

MATRIX = 16  # bytes of a parameter in a matrix: itself, its gradient, Muon's momentum and the best copy, in fp32
VECTOR = 20  # AdamW keeps two moments


@dataclass(frozen=True)
class Need:
    """Bytes, of the program with its libraries, the base's weights, the bank as it is trained, what one step keeps for
    its backward, and the caches of one batch of answers. Training and answering come one after the other."""

    program: int
    weights: int
    bank: int
    activations: int
    answers: int

    @property
    def total(self) -> int:
        return self.program + self.weights + self.bank + max(self.activations, self.answers)


def weight_bytes(model: nn.Module) -> int:
    """Bytes of a model's parameters and buffers that lie in memory, tied ones once."""
    tensors = {id(t): t for t in (*model.parameters(), *model.buffers())}
    away = {
        id(parameter)
        for module in model.modules()
        for name, parameter in module.named_parameters(recurse=False)
        if not in_memory(module, name)
    }
    return sum(held_bytes(t) for key, t in tensors.items() if key not in away)


def trained_bytes(parameters: Iterable[nn.Parameter]) -> int:
    """Bytes that training these parameters takes, gradients and optimiser included.

    >>> trained_bytes([nn.Parameter(torch.zeros(2, 3)), nn.Parameter(torch.zeros(5))])
    196
    """
    return sum(p.numel() * (MATRIX if p.dim() > 1 else VECTOR) for p in parameters)


def bank_parameters(kind: str, taps: Sequence[Tap], model: nn.Module, config: Mapping[str, Any]) -> int:
    """How many parameters a bank on these taps has, without building more than one tap of each shape."""
    shapes: dict[tuple[bool, int, int], list[Tap]] = {}
    for tap in taps:
        shapes.setdefault((tap.sparse, tap.hidden, tap.intermediate), []).append(tap)
    total = beside = 0
    for alike in shapes.values():
        per_tap = build_bank(kind, alike[:1], model, config, seed=0).parameters_per_tap()
        own = per_tap.pop(alike[0].name)
        total += own * len(alike)
        every = config.get("attention_layers", "all") == "all"
        beside = max(beside, sum(per_tap.values())) if every else beside + sum(per_tap.values()) * len(alike)
    return total + beside


@contextmanager
def kept_activations(model: nn.Module, bank: nn.Module) -> Iterator[list[int]]:
    """Within it, the bytes that forwards keep for their backward are added up in the list's only item."""
    held = (*model.parameters(), *model.buffers(), *bank.parameters())
    weights = {inner.untyped_storage().data_ptr() for tensor in held for _, inner in plain_tensors("", tensor)}
    seen: set[int] = set()
    total = [0]

    def count(tensor: Tensor) -> Tensor:
        for _, inner in plain_tensors("", tensor):
            storage = inner.untyped_storage()
            if storage.data_ptr() not in weights | seen:
                seen.add(storage.data_ptr())
                total[0] += storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        yield total


def cache_bytes(output: Any) -> int:
    """Bytes of the keys and values that a forward with `use_cache` gave."""
    cache = getattr(output, "cache", None) or output.get("past_key_values")
    layers = getattr(cache, "layers", ())
    tensors = [getattr(layer, name, None) for layer in layers for name in ("keys", "values")]
    return sum(t.numel() * t.element_size() for t in tensors if isinstance(t, Tensor))
