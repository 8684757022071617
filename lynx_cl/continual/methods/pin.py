"""pin: a positional insert (PIN, Dorkenwald et al. 2024) is trained on one task after another beside a frozen model.

A vector for each place of a picture is added to what the tower makes of it, the same for every picture: a fixed code of
the place by sines and cosines, put through a small network. It starts at nothing, so step 0 is the base.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from lynx_cl.base.settings import Settings
from lynx_cl.continual.method import Added, method
from lynx_cl.continual.one_model import OneModel
from lynx_cl.errors import LynxError
from lynx_cl.training.part import ModelPart

PROJECTOR = "multi_modal_projector"  # what takes the tower's vectors over into the decoder's, in llava-like families
SLOWEST = 10000.0  # the ratio of wavelengths of a code (Vaswani et al. 2017)


class PinSettings(Settings):
    """`hidden` is the width of the network between code and insert."""

    hidden: int = Field(256, ge=1)
    learning_rate: float = Field(2e-2, gt=0)


class PositionalInsert(nn.Module):
    """The insert of as many visual tokens as there are, (tokens, width)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.width = width
        self.first, self.second = nn.Linear(width, hidden), nn.Linear(hidden, width)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, tokens: int) -> Tensor:
        code = place_code(tokens, self.width).to(self.first.weight)
        return self.second(torch.relu(self.first(code)))


def place_code(tokens: int, width: int) -> Tensor:
    """Sines and cosines of row and column, (tokens, width); tokens that fill no square lie in one row.

    A single token before a square, as the class token of a ViT, has a code of zeros.

    >>> place_code(4, 4)[:, 0].tolist() == place_code(5, 4)[1:, 0].tolist()
    True
    >>> place_code(4, 8)[0].tolist()
    [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0]
    """
    side = math.isqrt(tokens)
    before = int(side**2 != tokens and math.isqrt(tokens - 1) ** 2 == tokens - 1)
    side = math.isqrt(tokens - before)
    columns = side if side**2 == tokens - before else tokens
    place = torch.arange(tokens - before)
    waves = -(-width // 4)
    rate = SLOWEST ** (-torch.arange(waves) / waves)
    angles = [axis[:, None] * rate for axis in (place // columns, place % columns)]
    code = torch.cat([part for angle in angles for part in (angle.sin(), angle.cos())], dim=1)[:, :width]
    return torch.cat([torch.zeros(before, width), code])


@method(PinSettings)
class Pin(OneModel):
    """Sequential training of one insert between tower and projector."""

    def build_part(self) -> ModelPart:
        model = self.course.base.model
        named = [module for name, module in model.named_modules() if name.rpartition(".")[2] == PROJECTOR]
        linear = next((m for module in named for m in module.modules() if isinstance(m, nn.Linear)), None)
        if linear is None:
            raise LynxError(
                f"base {type(model).__name__}: no {PROJECTOR} with a linear layer found; pin needs a llava-like base"
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.course.seed)
            insert = PositionalInsert(linear.in_features, self.config.hidden).to(linear.weight.device)
        model.add_module("positional_insert", insert)

        def put(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
            return (args[0] + insert(args[0].shape[-2]).to(args[0].dtype), *args[1:])

        named[0].register_forward_pre_hook(put)
        return ModelPart(model, [f"positional_insert.{name}" for name, _ in insert.named_parameters()])

    def added(self) -> Added:
        count = sum(parameter.numel() for parameter in self.part.parameters())
        return Added(count, count)
