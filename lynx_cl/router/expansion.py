"""A fixed random feature expansion of another embedder's vectors: a classifier that is linear in them is not in those.

Random projections and a rectifier in front of closed-form statistics, as McDonnell et al. (2023, RanPAC) use them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from lynx_cl.errors import UsageError
from lynx_cl.registry.canonical import sha256
from lynx_cl.router.embedders import Embedder, Request, Rows, Sight, unit

if TYPE_CHECKING:
    import torch

MARK = "+random:"
MOST = 4096  # features: a task of many requests keeps a second moment of so many squared
SEED = 20_410_491


class ExpandedEmbedder:
    """max(0, x W) of the vectors x of `inner`, scaled to length 1: W (dimension, features) standard normal, drawn once.

    Written as `text+random:2048`. The digest covers the drawn numbers, so that vectors never compare where a library
    draws others.
    """

    def __init__(self, inner: Embedder, features: int) -> None:
        self.inner, self.dimension = inner, features
        self.name = f"{inner.name}{MARK}{features}"
        self.pictures = inner.pictures

    @cached_property
    def digest(self) -> str:
        return f"{self.inner.digest}-{sha256(self._weights.tobytes())}"

    @property
    def near(self) -> float:
        """The cosine of rectified random features of two vectors of the inner `near` (Cho & Saul 2009, degree 1)."""
        angle = math.acos(min(1.0, self.inner.near))
        return (math.sin(angle) + (math.pi - angle) * math.cos(angle)) / math.pi

    def embed(self, requests: Sequence[Request]) -> Rows:
        """Rows of length 1, (requests, features)."""
        return self.expanded(self.inner.embed(requests))

    def expanded(self, rows: Rows) -> Rows:
        """Rows (requests, dimension) of the inner embedder -> (requests, features); each by itself to the bit."""
        if not len(rows):
            return np.zeros((0, self.dimension), np.float32)
        return unit(np.stack([np.maximum(row @ self._weights, 0) for row in rows]), self.name)

    @cached_property
    def _weights(self) -> Rows:
        drawn = np.random.Generator(np.random.PCG64(SEED)).standard_normal((self.inner.dimension, self.dimension))
        return drawn.astype(np.float32)


class ExpandedSight(ExpandedEmbedder):
    """An expansion of an embedder that looks through the base."""

    inner: Embedder

    @property
    def layer(self) -> str:
        return self._sight.layer

    def whole(self, request: Request) -> bool:
        """Whether `pooled` gives what `embed` gives."""
        return self._sight.whole(request)

    def pooled(self, requests: Sequence[Request], states: torch.Tensor, inputs: Mapping[str, torch.Tensor]) -> Rows:
        """Rows of requests on their way through the base, as the inner embedder's `pooled`."""
        return self.expanded(self._sight.pooled(requests, states, inputs))

    @property
    def _sight(self) -> Sight:
        assert isinstance(self.inner, Sight)
        return self.inner


def split(name: str) -> tuple[str, int | None]:
    """The inner embedder's name and the number of random features, None where there are none.

    Raises UsageError for a number that is none, or too large.

    >>> split("text+random:2048"), split("text:./encoder")
    (('text', 2048), ('text:./encoder', None))
    """
    inner, mark, features = name.rpartition(MARK)
    if not mark:
        return name, None
    if not features.isdecimal():
        raise UsageError(
            f"router: embedder {name!r}: {features!r} is no number of random features; as text+random:2048"
        )
    if not 1 <= int(features) <= MOST:
        raise UsageError(f"router: {features} random features; between 1 and {MOST} are possible")
    return inner, int(features)


def expanded(inner: Embedder, features: int) -> Embedder:
    """An embedder's vectors expanded; where it looks through the base, so does what is returned."""
    return (ExpandedSight if isinstance(inner, Sight) else ExpandedEmbedder)(inner, features)
