"""The lora bank: low-rank experts with a gate (LoRA, Hu et al. 2022; a soft mixture of them, as in MoLoRA).

At a dense tap every linear projection W of the network becomes W x + scale * sum_e g_e(x) B_e A_e x. A sparse tap keeps
its mixture untouched and gets scale * sum_e g_e(x) B_e silu(A_e x) beside it. `attention` adds the linear form to the
projections of the self-attention, in every decoder layer or in the tapped ones. The gate g is a softmax over the
experts, and absent where there is one. B starts at zero, so step 0 is the base bit for bit.

A starts at random, or, with `start: gradient`, in the directions in which the loss wants the change: with A at zero and
a random B the gradient of A is B' G, a sketch of the gradient G of the whole change (a randomised range finder, Halko
et al. 2011), and A's rows start as an orthonormal basis of its rows. LoRA-GA (Wang et al. 2024) starts from singular
vectors of G itself, which this never holds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from lynx_cl.banks.base import Bank, Frozen, Part, bank_kind
from lynx_cl.base.settings import Settings
from lynx_cl.base.taps import Tap, projections


class LoraConfig(Settings):
    """`rank` of one expert; `scale` multiplies the whole change (peft's lora_alpha / r).

    `sites` are module paths of linear layers to act on in place of those in the taps and in attention. `start` is
    `gradient`, or none: at random.
    """

    rank: int = Field(8, ge=1, le=1024)
    experts: int = Field(4, ge=1, le=64)
    scale: float = Field(2.0, gt=0)
    attention: bool = False
    attention_layers: Literal["all", "taps"] = "all"
    sites: tuple[str, ...] | None = None
    start: Literal["gradient"] | None = None


class LowRankExperts(Part):
    """`experts` pairs of low-rank matrices beside one module, from width `inside` to width `outside`."""

    def __init__(
        self, inside: int, outside: int, config: LoraConfig, activate: bool, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.experts, self.scale, self.activate = config.experts, config.scale, activate
        bound = 1 / math.sqrt(inside)  # Kaiming uniform with a = sqrt(5), as nn.Linear and peft start A
        start = torch.rand(config.experts * config.rank, inside, generator=generator)
        self.A = nn.Parameter((2 * start - 1) * bound)
        self.B = nn.Parameter(torch.zeros(outside, config.experts * config.rank))
        self.gate = None
        if config.experts > 1:
            self.gate = nn.Parameter(torch.randn(config.experts, inside, generator=generator) * bound)

    def forward(self, x: Tensor, frozen: Frozen) -> Tensor:
        output = frozen.output
        inner = F.linear(x, self.A.to(x.dtype))
        if self.activate:
            inner = F.silu(inner)
        if self.gate is not None:
            gate = F.linear(x, self.gate.to(x.dtype)).softmax(-1).to(inner.dtype)
            inner = (inner.unflatten(-1, (self.experts, -1)) * gate[..., None]).flatten(-2)
        return output + self.scale * F.linear(inner, self.B.to(inner.dtype)).to(output.dtype)

    @torch.no_grad()
    def sketch(self, generator: torch.Generator) -> None:
        """Makes the gradient of A a sketch of that of the whole change; the function stays the base's."""
        self.A.zero_()
        self.B.copy_(torch.randn(self.B.shape, generator=generator))

    @torch.no_grad()
    def start_along(self, gradient: Tensor) -> None:
        """Starts A along the rows of its gradient under `sketch`, as long in the mean as random rows are; B is zero."""
        left, _, right = torch.linalg.svd(gradient.float(), full_matrices=False)
        self.A.copy_(left @ right / math.sqrt(3))
        self.B.zero_()


@bank_kind("lora", LoraConfig)
class LoraBank(Bank):
    """Low-rank experts in and beside the taps, and in attention where asked; see the top of this file."""

    config: LoraConfig

    @property
    def starts_by_gradient(self) -> bool:
        return self.config.start == "gradient" and not any(bool(part.B.any()) for part in self._experts())

    def sketch(self, generator: torch.Generator) -> list[nn.Parameter]:
        for part in self._experts():
            part.sketch(generator)
        return [part.A for part in self._experts()]

    def start_along(self, gradients: Sequence[Tensor]) -> None:
        for part, gradient in zip(self._experts(), gradients, strict=True):
            part.start_along(gradient)

    def _experts(self) -> list[LowRankExperts]:
        return [part for part in self.parts.children() if isinstance(part, LowRankExperts)]

    @classmethod
    def build(cls, taps: Sequence[Tap], model: nn.Module, config: LoraConfig, generator: torch.Generator) -> LoraBank:
        parts: dict[str, Part] = {}
        if config.sites is None:
            linears = projections(model, taps, config.attention_layers if config.attention else "none")
            for tap in (tap for tap in taps if tap.sparse):
                parts[tap.name] = LowRankExperts(tap.hidden, tap.hidden, config, True, generator)
        else:
            linears = list(config.sites)
        for name in linears:
            linear = model.get_submodule(name)
            parts[name] = LowRankExperts(linear.in_features, linear.out_features, config, False, generator)  # type: ignore[arg-type]
        return cls(taps, config, parts)
