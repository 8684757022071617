"""A frozen base shared out over the processes of a run: each keeps a part of every decoder layer (FSDP2).

A layer is put together where its forward or backward needs it, and taken apart again. What is not in a decoder layer
(embeddings, the picture's tower, the head) stays whole: which process looks at a picture depends on what it has cached,
so the processes cannot meet there.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from lynx_cl.base.taps import decoder_layers
from lynx_cl.training.ranks import Rank


def sharded(model: Any, rank: Rank) -> Any:
    """A model of the same function whose decoder layers are shared out; `model` stays whole, where it is."""
    kept = [parameter for layer in decoder_layers(model)[1] for parameter in layer.parameters()]
    shared = copy.deepcopy(model, {id(parameter): parameter for parameter in kept})
    mesh = init_device_mesh("cuda" if torch.cuda.is_available() else "cpu", (rank.world,))
    for layer in decoder_layers(shared)[1]:
        fully_shard(layer, mesh=mesh, reshard_after_forward=True)
    return shared
