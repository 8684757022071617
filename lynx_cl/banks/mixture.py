"""What kinds share that change the weights of a sparse mixture itself, and what such a mixture must allow."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lynx_cl.banks.base import Part
from lynx_cl.base.quantise import is_packed, is_quantised
from lynx_cl.base.spread import is_elsewhere
from lynx_cl.errors import LynxError


class ChangedMixture(Part):
    """A mixture whose own forward runs on changed weights."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: tuple[tuple, dict[str, Tensor]] | None = None

    def add(self, module: nn.Module) -> dict[str, Tensor]:
        """The changed weights of the mixture, by name."""
        raise NotImplementedError

    def weights(self, module: nn.Module) -> dict[str, Tensor]:
        """As `add`; they are kept between forwards that train nothing, as in generation."""
        if torch.is_grad_enabled():
            self._kept = None
            return self.add(module)
        state = tuple((p.data_ptr(), p._version) for p in (*self.parameters(), *module.parameters()))
        if self._kept is None or self._kept[0] != state:
            self._kept = (state, self.add(module))
        return self._kept[1]


def check_addable(module: nn.Module, name: str, kind: str, sparse: bool) -> None:
    """Raises LynxError where a bank cannot add to the weights of the network at a tap."""
    unfit = is_quantised if sparse else is_packed
    if any(unfit(parameter) for parameter in module.parameters()):
        raise LynxError(
            f"tap {name}: its weights are quantised, so that a {kind} bank cannot add to them; take --bank lora, or "
            "load the base in full"
        )
    if is_elsewhere(module):
        raise LynxError(
            f"tap {name}: its weights are not in the memory that computes (device_map), so that a {kind} bank cannot "
            "add to them; take --bank lora"
        )
