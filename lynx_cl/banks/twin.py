"""The twin bank: experts that start as copies of the frozen feed-forward network, beside it (TWIST, arXiv 2410.10491).

At each tap y = F(x) + alpha * (T(x) - F(x)), the paper's mix (1 - alpha) F + alpha T written so that nothing is lost to
rounding: an expert is kept as its deviation from the frozen weights. All deviations start at zero, so step 0 is the
base bit for bit, and weight decay pulls towards the base. alpha is a plain learned scalar that starts at 0.5: at 0
neither it nor the deviations would get a gradient, at 1 the frozen half would not count; no sigmoid, which would only
slow it near its ends.

A dense network gets `experts` copies and a new token-level top-k gate, T(x) = sum_k g_k(x) E_k(x) with the k chosen
gates summing to one. A sparse mixture is copied whole, with its own gate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from lynx_cl.banks.base import Bank, Frozen, Part, bank_kind
from lynx_cl.banks.ffn import FeedForward, read_feed_forward
from lynx_cl.banks.growth import active_parameters
from lynx_cl.banks.mixture import ChangedMixture, check_addable
from lynx_cl.base.settings import Settings
from lynx_cl.base.taps import Tap

ALPHA_START = 0.5


class TwinConfig(Settings):
    """`experts` and `top_k` hold at dense taps; a sparse tap keeps the numbers of the mixture it copies.

    `alpha` is learned, or fixed at where it starts.
    """

    experts: int = Field(4, ge=1, le=64)
    top_k: int = Field(2, ge=1, le=64)
    alpha: Literal["learned", "fixed"] = "learned"

    @model_validator(mode="after")
    def _top_k_within_experts(self) -> Self:
        if self.top_k > self.experts:
            raise ValueError(f"top_k = {self.top_k} exceeds experts = {self.experts}")
        return self


class DenseTwin(Part):
    """`experts` deviations of one dense network and their gate.

    With h the frozen pre-activations and a the mixed ones, expert e differs from F by
    W_exit (a_e - a) + D_exit a_e, where a_e = mix(h + D_entry x). W_exit is applied once, to the gated sum.
    """

    def __init__(self, layout: FeedForward, module: nn.Module, config: TwinConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.layout, self.top_k = layout, config.top_k
        self.alpha = _start_alpha(self, config)
        hidden = getattr(module, layout.entries[0]).in_features
        scale = 1 / math.sqrt(hidden)  # gate logits of unit size, so that tokens spread over the equal experts
        self.gate = nn.Parameter(torch.randn(config.experts, hidden, generator=generator) * scale)
        self.experts = nn.ParameterDict()
        for name in (*layout.entries, layout.exit):
            linear = getattr(module, name)
            self.experts[f"{name}/weight"] = nn.Parameter(torch.zeros(config.experts, *linear.weight.shape))
            if linear.bias is not None:
                self.experts[f"{name}/bias"] = nn.Parameter(torch.zeros(config.experts, *linear.bias.shape))

    def forward(self, x: Tensor, frozen: Frozen) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        layout, exit_ = self.layout, getattr(frozen.module, self.layout.exit)
        entry = [_linear(flat, getattr(frozen.module, name)) for name in layout.entries]
        mixed = layout.mix(entry)
        output = _linear(mixed, exit_)
        logits, chosen = F.linear(flat, self.gate.to(flat.dtype)).float().topk(self.top_k, dim=-1)
        weights = logits.softmax(-1).to(mixed.dtype)
        spread, moved = torch.zeros_like(mixed), torch.zeros_like(output)
        for slot in range(self.top_k):
            # all tokens at once and in place: vectorised activations may give an element other last bits elsewhere
            order = _Order(chosen[:, slot], self.gate.shape[0])
            own = [h + self._deviate(flat, name, order) for h, name in zip(entry, layout.entries, strict=True)]
            inner = layout.mix(own)
            weight = weights[:, slot, None]
            spread = spread + weight * (inner - mixed)
            moved = moved + weight * self._deviate(inner, layout.exit, order)
        deviation = F.linear(spread, exit_.weight) + moved
        return (output + self.alpha.to(output.dtype) * deviation).reshape(*x.shape[:-1], -1)

    def active_parameters(self) -> int:
        one_expert = sum(p[0].numel() for p in self.experts.values())
        return self.top_k * one_expert + self.gate.numel() + self.alpha.numel()

    def _deviate(self, x: Tensor, name: str, order: _Order) -> Tensor:
        weights = self.experts[f"{name}/weight"].to(x.dtype).unbind(0)
        biases: Sequence[Tensor | None] = [None] * len(weights)
        if f"{name}/bias" in self.experts:
            biases = self.experts[f"{name}/bias"].to(x.dtype).unbind(0)
        groups = x[order.forth].split(order.counts)
        return torch.cat([F.linear(*group) for group in zip(groups, weights, biases, strict=True)])[order.back]


class _Order:
    """Tokens sorted by the expert they go to, and the way back."""

    def __init__(self, owner: Tensor, experts: int) -> None:
        self.forth = owner.argsort(stable=True)
        self.back = self.forth.argsort()
        self.counts: list[int] = torch.bincount(owner, minlength=experts).tolist()


class SparseTwin(ChangedMixture):
    """The deviations of a whole sparse mixture: its experts, its gate and whatever else it owns."""

    def __init__(self, module: nn.Module, config: TwinConfig) -> None:
        super().__init__()
        self.alpha = _start_alpha(self, config)
        self.deviations = nn.ParameterDict(
            {name.replace(".", "/"): nn.Parameter(torch.zeros(p.shape)) for name, p in module.named_parameters()}
        )
        self._active = active_parameters(module)

    def forward(self, x: Tensor, frozen: Frozen) -> Tensor:
        output = frozen.output
        twin = frozen.call(x, self.weights(frozen.module))
        return output + self.alpha.to(output.dtype) * (twin - output)

    def active_parameters(self) -> int:
        return self._active + self.alpha.numel()

    def add(self, module: nn.Module) -> dict[str, Tensor]:
        return {n: (p + self.deviations[n.replace(".", "/")]).to(p.dtype) for n, p in module.named_parameters()}


@bank_kind("twin", TwinConfig)
class TwinBank(Bank):
    """Expert copies at every tap; see the top of this file."""

    @classmethod
    def build(cls, taps: Sequence[Tap], model: nn.Module, config: TwinConfig, generator: torch.Generator) -> TwinBank:
        parts: dict[str, Part] = {}
        for tap in taps:
            module = model.get_submodule(tap.name)
            check_addable(module, tap.name, cls.kind, tap.sparse)
            if tap.sparse:
                parts[tap.name] = SparseTwin(module, config)
            else:
                parts[tap.name] = DenseTwin(read_feed_forward(module, tap.name), module, config, generator)
        return cls(taps, config, parts)


def _start_alpha(part: Part, config: TwinConfig) -> Tensor:
    """A parameter where alpha is learned, else a buffer that is no part of the bank's state."""
    start = torch.tensor(ALPHA_START)
    if config.alpha == "learned":
        return nn.Parameter(start)
    part.register_buffer("alpha", start, persistent=False)
    return start


def _linear(x: Tensor, linear: nn.Linear) -> Tensor:
    # the weights, not the module: another bank's low-rank sites may sit on the module for other rows of the batch
    return F.linear(x, linear.weight, linear.bias)
