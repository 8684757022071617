"""Activations computed anew in the backward pass instead of kept: less memory for a third more time (Chen et al. 2016).

transformers' own switch works in training mode alone, which a frozen base never enters, and a layer that is computed
anew after its forward must still know whose rows it holds. So the decoder layers are wrapped here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from lynx_cl.banks.attach import Attachment
from lynx_cl.base.taps import decoder_layers


@contextmanager
def recomputed(model: nn.Module, attachment: Attachment) -> Iterator[None]:
    """Within it, a forward keeps the inputs of decoder layers alone; gradients are those of a forward that keeps all.

    The backward may come after it. Raises LynxError for a model whose decoder layers are not found.
    """
    layers = list(decoder_layers(model)[1])
    before = [layer.__dict__.get("forward") for layer in layers]
    for layer in layers:
        layer.forward = _recomputing(layer.forward, attachment)
    try:
        yield
    finally:
        for layer, forward in zip(layers, before, strict=True):
            if forward is None:
                del layer.forward
            else:
                layer.forward = forward


def _recomputing(forward: Any, attachment: Attachment) -> Any:
    def layer(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*args, **kwargs)
        plan = attachment.plan
        return checkpoint(
            forward, *args, use_reentrant=False, context_fn=lambda: (nullcontext(), attachment.planned(plan)), **kwargs
        )

    return layer
