"""Counting parameters: how much a bank adds to its base, in total and for one token.

Active parameters follow the custom of sparse mixtures (Jiang et al. 2024, Mixtral): everything counts but the experts
of a mixture that its top-k gate does not choose.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from lynx_cl.base.quantise import shape_of
from lynx_cl.errors import LynxError

if TYPE_CHECKING:
    from lynx_cl.banks.base import Bank


@dataclass(frozen=True)
class Growth:
    """`total` and `active` are fractions of the base's parameters and of its active parameters."""

    parameters: int
    active_parameters: int
    total: float
    active: float


def growth(bank: Bank, model: nn.Module) -> Growth:
    """What a bank adds to a base."""
    added = sum(bank.parameters_per_tap().values())
    added_active = sum(bank.active_parameters_per_tap().values())
    return Growth(added, added_active, added / total_parameters(model), added_active / active_parameters(model))


def total_parameters(model: nn.Module) -> int:
    """Parameters of a model, tied ones once."""
    return sum(shape_of(p).numel() for p in model.parameters())


def active_parameters(model: nn.Module) -> int:
    """Parameters of a model that one token touches: all, less the experts not chosen in each sparse mixture."""
    idle = 0
    for block in model.modules():
        experts = getattr(block, "experts", None)
        if isinstance(experts, nn.Module) and any(True for _ in experts.parameters()):
            of_experts = sum(shape_of(p).numel() for p in experts.parameters())
            idle += idle_parameters(of_experts, _number_of_experts(experts), _top_k(block))
    return total_parameters(model) - idle


def idle_parameters(of_experts: int, experts: int, top_k: int) -> int:
    """Parameters of a mixture's experts that one token does not touch.

    >>> idle_parameters(400, experts=4, top_k=2)
    200
    """
    return of_experts * (experts - top_k) // experts


def _number_of_experts(experts: nn.Module) -> int:
    if isinstance(experts, nn.ModuleList | nn.ModuleDict):
        return len(experts)
    return next(p for p in experts.parameters() if p.dim() == 3).shape[0]


def _top_k(block: nn.Module) -> int:
    for owner in (block, getattr(block, "gate", None), getattr(block, "router", None)):
        for name in ("top_k", "num_experts_per_tok"):
            number = getattr(owner, name, None)
            if isinstance(number, int):
                return number
    raise LynxError(f"{type(block).__name__}: how many experts a token takes is not written on it or its gate")
