"""A part of a model that is trained in place: all but the tower that looks at pictures, or adapters put into it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from lynx_cl.base.fingerprint import digest
from lynx_cl.base.taps import decoder_layers
from lynx_cl.errors import LynxError


class ModelPart:
    """The parameters of a model that have the given names; `words` are those of them that embed words, or tell them.

    `below_is_frozen` says that what turns a picture or a token into an embedding is no part of it.
    """

    def __init__(self, model: nn.Module, names: Sequence[str]) -> None:
        known = dict(model.named_parameters())
        if not names or any(name not in known for name in names):
            missing = next((name for name in names if name not in known), "nothing")
            raise LynxError(f"training: the model has no parameter {missing}; name parameters that it has")
        away = next((name for name in names if known[name].is_meta), None)
        if away is not None:
            raise LynxError(f"training: {away} is not in the memory that computes (device_map); train a bank beside it")
        self.names = list(names)
        self._model = model
        self._own = {name: known[name] for name in names}
        layers = {id(p) for p in decoder_layers(model)[1].parameters()}
        self.below_is_frozen = all(id(p) in layers for p in self._own.values())
        ends = [model.get_input_embeddings(), model.get_output_embeddings()]  # type: ignore[operator]
        words = {id(end.weight) for end in ends if end is not None}
        self.words = [parameter for parameter in self._own.values() if id(parameter) in words]

    def parameters(self) -> Iterator[nn.Parameter]:
        """The parameters, in the order of their names."""
        return iter(self._own.values())

    def requires_grad_(self, wanted: bool) -> None:
        """Whether they ask for gradients."""
        for parameter in self._own.values():
            parameter.requires_grad_(wanted)

    def state(self) -> dict[str, Tensor]:
        """The tensors by name, as they are: a later step changes them."""
        return {name: parameter.detach() for name, parameter in self._own.items()}

    def copy(self) -> dict[str, Tensor]:
        """The tensors by name, as they are now."""
        return {name: tensor.cpu().clone() for name, tensor in self.state().items()}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes over tensors of `state`. Raises LynxError where names or shapes differ."""
        if tensors.keys() != self._own.keys():
            odd = sorted(tensors.keys() ^ self._own.keys())[0]
            raise LynxError(f"training: the state does not fit the model: {odd} is in one of them alone")
        with torch.no_grad():
            for name, parameter in self._own.items():
                if tensors[name].shape != parameter.shape:
                    raise LynxError(f"training: {name} is {tuple(tensors[name].shape)}, not {tuple(parameter.shape)}")
                parameter.copy_(tensors[name])

    def acting(self, batch: Any) -> AbstractContextManager[None]:
        """Within it, a forward of the model is one of training on a batch: for parts that must know."""
        return nullcontext()

    def frozen_digest(self) -> str:
        """The digest of everything in the model that is no part of it; a tied tensor is one tensor."""
        own = {id(parameter) for parameter in self._own.values()}
        kept = self._model.state_dict(keep_vars=True).items()
        return digest((name, tensor) for name, tensor in kept if id(tensor) not in own)


def all_but_tower(model: Any) -> list[str]:
    """Names of every parameter of a model that does not lie in the tower that looks at pictures.

    It stays frozen in the fine-tuning of such models by custom (Liu et al. 2023, LLaVA).
    """
    tower = model.get_encoder(modality="image")
    looks = set() if tower is model else {id(parameter) for parameter in tower.parameters()}
    return [name for name, parameter in model.named_parameters() if id(parameter) not in looks]
