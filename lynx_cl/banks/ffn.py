"""Dense feed-forward networks read as data: which projections go in, how they are mixed, which one goes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from lynx_cl.errors import LynxError

Mix = Callable[[Sequence[Tensor]], Tensor]


@dataclass(frozen=True)
class FeedForward:
    """F(x) = exit(mix(entry(x) for each entry)): names of linear children, and the function between them."""

    entries: tuple[str, ...]
    exit: str
    mix: Mix


def read_feed_forward(module: nn.Module, name: str) -> FeedForward:
    """The structure of a dense feed-forward module.

    Knows gated networks (gate_proj, up_proj, down_proj), the same with the first two in one matrix, and plain ones of
    two layers. Raises LynxError, naming the module, for anything else.
    """
    children = {key for key, child in module.named_children() if isinstance(child, nn.Linear)}
    activation = next(
        (getattr(module, key) for key in ("act_fn", "activation_fn", "act") if hasattr(module, key)), None
    )
    if activation is not None:
        if {"gate_proj", "up_proj", "down_proj"} == children:
            return FeedForward(("gate_proj", "up_proj"), "down_proj", lambda h: activation(h[0]) * h[1])
        if {"gate_up_proj", "down_proj"} == children:
            return FeedForward(("gate_up_proj",), "down_proj", lambda h: _gate_first_half(h[0], activation))
        for first, second in (("fc1", "fc2"), ("c_fc", "c_proj"), ("up_proj", "down_proj")):
            if {first, second} == children:
                return FeedForward((first,), second, lambda h: activation(h[0]))
    raise LynxError(
        f"tap {name}: a {type(module).__name__} is no feed-forward network that a twin bank knows; take --bank lora"
    )


def _gate_first_half(both: Tensor, activation: Callable[[Tensor], Tensor]) -> Tensor:
    gate, up = both.chunk(2, dim=-1)
    return up * activation(gate)
