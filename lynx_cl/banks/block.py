"""The block bank: at every linear projection a change of full rank, block-diagonal between interleaved features.

Of the features that enter a projection, number i goes to block i mod `blocks`; of those that leave, each block has a
run. One matrix a block, B, is all that is learned: W x + scale * B P x, P the interleaving. So one in `blocks` of the
entries of W moves, and those reach every direction, where as many numbers in low-rank matrices (lora) move all entries
in few directions. It is one factor of a Monarch matrix (Dao et al. 2022), and a structured case of sparse high-rank
adapters (SHiRA, Bhardwaj et al. 2024). B starts at zero, so step 0 is the base bit for bit.

A sparse mixture's experts all get the same change of their own matrices; its gate stays.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from lynx_cl.banks.base import Bank, Frozen, Part, bank_kind
from lynx_cl.banks.mixture import ChangedMixture, check_addable
from lynx_cl.base.settings import Settings
from lynx_cl.base.taps import Tap, projections
from lynx_cl.errors import LynxError


class BlockConfig(Settings):
    """`blocks` of a projection: where it does not divide both widths, the next larger number that does.

    `scale` multiplies the whole change. `attention` changes the projections of the self-attention as well, in every
    decoder layer or in the tapped ones.
    """

    blocks: int = Field(12, ge=1, le=65536)
    scale: float = Field(3.0, gt=0)
    attention: bool = True
    attention_layers: Literal["all", "taps"] = "all"


class BlockLinear(Part):
    """The change of one linear layer from width `inside` to width `outside`."""

    def __init__(self, inside: int, outside: int, config: BlockConfig, name: str) -> None:
        super().__init__()
        self.scale = config.scale
        self.B = zeros(inside, outside, config.blocks, name)

    def forward(self, x: Tensor, frozen: Frozen) -> Tensor:
        output = frozen.output
        apart = x.unflatten(-1, (-1, self.B.shape[0]))
        change = torch.einsum("...ib,boi->...bo", apart, self.B.to(x.dtype)).flatten(-2)
        return output + self.scale * change.to(output.dtype)


class BlockMixture(ChangedMixture):
    """The change of every expert of a sparse mixture, the same for all."""

    def __init__(self, module: nn.Module, config: BlockConfig, name: str) -> None:
        super().__init__()
        self.scale = config.scale
        self.changes = nn.ParameterDict()
        for path, parameter in _matrices(module):
            if _of_all(path) not in self.changes:
                outside, inside = parameter.shape[-2:]
                self.changes[_of_all(path)] = zeros(inside, outside, config.blocks, f"{name}.{path}")

    def forward(self, x: Tensor, frozen: Frozen) -> Tensor:
        return frozen.call(x, self.weights(frozen.module))

    def add(self, module: nn.Module) -> dict[str, Tensor]:
        changes = {name: self.scale * matrix(blocks) for name, blocks in self.changes.items()}
        return {path: parameter + changes[_of_all(path)].to(parameter.dtype) for path, parameter in _matrices(module)}


@bank_kind("block", BlockConfig)
class BlockBank(Bank):
    """Block-diagonal changes at the taps, and in attention; see the top of this file."""

    @classmethod
    def build(cls, taps: Sequence[Tap], model: nn.Module, config: BlockConfig, generator: torch.Generator) -> BlockBank:
        parts: dict[str, Part] = {}
        for tap in (tap for tap in taps if tap.sparse):
            module = model.get_submodule(tap.name)
            check_addable(module, tap.name, cls.kind, sparse=True)
            parts[tap.name] = BlockMixture(module, config, tap.name)
        for name in projections(model, taps, config.attention_layers if config.attention else "none"):
            linear = model.get_submodule(name)
            parts[name] = BlockLinear(linear.in_features, linear.out_features, config, name)  # type: ignore[arg-type]
        return cls(taps, config, parts)


def zeros(inside: int, outside: int, blocks: int, name: str) -> nn.Parameter:
    """At least as many blocks as asked for, (number, width out, width in). Raises LynxError where none fit."""
    both = math.gcd(inside, outside)
    number = next((n for n in range(blocks, both + 1) if both % n == 0), None)
    if number is None:
        raise LynxError(
            f"{name}: its widths {inside} and {outside} are not divided by {blocks} blocks or more alike; "
            f"give blocks of at most {both}"
        )
    return nn.Parameter(torch.zeros(number, outside // number, inside // number))


def matrix(blocks: Tensor) -> Tensor:
    """The whole matrix (out, in) of blocks (number, width out, width in).

    >>> matrix(torch.tensor([[[1.0, 2.0]], [[3.0, 4.0]]]))
    tensor([[1., 0., 2., 0.],
            [0., 3., 0., 4.]])
    """
    number, outside, inside = blocks.shape
    return torch.diag_embed(blocks.permute(1, 2, 0), dim1=0, dim2=3).reshape(number * outside, inside * number)


def _matrices(module: nn.Module) -> list[tuple[str, Tensor]]:
    """The matrices of a mixture's experts by their path in the mixture: stacks of them, or one by one."""
    experts = [(path, p) for path, p in module.named_parameters() if path.startswith("experts.")]
    most = max(p.dim() for _, p in experts)
    return [(path, p) for path, p in experts if p.dim() == most]


def _of_all(path: str) -> str:
    """The name of a change: the path of what it changes, less which expert's that is.

    >>> _of_all("experts.3.gate_proj.weight"), _of_all("experts.down_proj")
    ('gate_proj/weight', 'down_proj')
    """
    return re.sub(r"^experts\.(\d+\.)?", "", path).replace(".", "/")
