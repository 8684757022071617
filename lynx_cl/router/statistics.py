"""What one task gives the router: sums that a closed form is solved from, and the requests kept to compare with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from lynx_cl.errors import LynxError, UsageError

if TYPE_CHECKING:
    from PIL import Image

    from lynx_cl.router.embedders import Embedder

FORMAT = 1
KEY = "lynx_cl"


@dataclass(frozen=True, eq=False)
class TaskStatistics:
    """A task's requests, summed. All that depends on them alone, so tasks can come and go in any order.

    `count` requests; `sum` (dimension) and `second_moment` (dimension, dimension) of their vectors in float64;
    `prototypes` (p, dimension) and `exemplars` (e, dimension) unit rows in float32, the latter of `texts`;
    `similarities` (count): how near each request is to what would be kept without it. `embedder` is the name and
    `embedder_digest` the digest of what made the vectors.
    """

    task: str
    embedder: str
    embedder_digest: str
    count: int
    sum: NDArray[np.float64]
    second_moment: NDArray[np.float64]
    prototypes: NDArray[np.float32]
    texts: tuple[str, ...]
    exemplars: NDArray[np.float32]
    similarities: NDArray[np.float64]

    @property
    def dimension(self) -> int:
        return len(self.sum)

    def nearest_texts(self, count: int = 3) -> list[list[str]]:
        """For each prototype the kept requests that are nearest to it, the nearest first."""
        places = np.argsort(-(self.prototypes @ self.exemplars.T), axis=1, kind="stable")[:, :count]
        return [[self.texts[place] for place in row] for row in places]

    def to_bytes(self) -> bytes:
        """Safetensors: the same statistics give the same bytes. Of the second moment one triangle is kept."""
        told = {
            "format": FORMAT,
            "task": self.task,
            "embedder": self.embedder,
            "embedder_digest": self.embedder_digest,
            "count": self.count,
            "texts": list(self.texts),
        }
        tensors = {
            "sum": self.sum,
            "second_moment": self.second_moment[np.triu_indices(self.dimension)],
            "prototypes": self.prototypes,
            "exemplars": self.exemplars,
            "similarities": self.similarities,
        }
        metadata = {KEY: json.dumps(told, sort_keys=True, ensure_ascii=True, separators=(",", ":"))}
        return safetensors.numpy.save({name: np.ascontiguousarray(t) for name, t in tensors.items()}, metadata)

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> TaskStatistics:
        """The statistics of `to_bytes`. Raises LynxError naming `where` they were read for anything else."""
        try:
            tensors = safetensors.numpy.load(data)
            header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
            told = json.loads(header["__metadata__"][KEY])
            if told["format"] != FORMAT:
                raise LynxError(f"{where}: router statistics of format {told['format']}; written by a later lynx-cl")
            sums = tensors["sum"]
            moment = np.zeros((len(sums), len(sums)))
            moment[np.triu_indices(len(sums))] = tensors["second_moment"]
            made = cls(
                task=told["task"],
                embedder=told["embedder"],
                embedder_digest=told["embedder_digest"],
                count=told["count"],
                sum=sums,
                second_moment=moment + np.triu(moment, 1).T,
                prototypes=tensors["prototypes"],
                texts=tuple(told["texts"]),
                exemplars=tensors["exemplars"],
                similarities=tensors["similarities"],
            )
        except (SafetensorError, KeyError, TypeError, ValueError):
            raise LynxError(f"{where}: no router statistics, or damaged; run 'lynx-cl registry verify'") from None
        made._check(where)
        return made

    def _check(self, where: str) -> None:
        """Raises LynxError, beginning with `where`, where the parts do not agree with each other."""
        floats = (self.sum, self.second_moment, self.prototypes, self.exemplars, self.similarities)
        if not (self.count > 0 and all(np.isfinite(part).all() for part in floats)):
            raise LynxError(f"{where}: router statistics that are not finite or of no request; add the task again")
        rows = ((self.prototypes, None), (self.exemplars, len(self.texts)))
        agree = (
            self.sum.ndim == 1
            and all(p.ndim == 2 and p.shape[1] == self.dimension and n in (None, len(p)) for p, n in rows)
            and 0 < len(self.prototypes) <= self.count
            and 0 < len(self.exemplars) <= self.count
            and self.similarities.shape in ((self.count,), (0,))
            and all(np.allclose(np.linalg.norm(p, axis=1), 1, atol=1e-3) for p, _ in rows)
            # unit vectors: their squares sum to how many they are, and their sum is no longer than that
            and abs(float(np.trace(self.second_moment)) - self.count) <= 1e-3 * self.count
            and float(np.linalg.norm(self.sum)) <= self.count * (1 + 1e-3)
        )
        if not agree:
            raise LynxError(f"{where}: the counts of its router statistics do not agree; get the bank again")


def check_statistics(data: bytes, where: str) -> None:
    """Raises LynxError, beginning with `where`, for bytes that are no sound router statistics."""
    TaskStatistics.from_bytes(data, where)


def fit_task(
    name: str, texts: Sequence[str], embedder: Embedder, images: Sequence[Image.Image | None] | None = None
) -> TaskStatistics:
    """The statistics of a task's requests: its prompts, each with its picture where `images` are given.

    The order of the prompts does not matter where there are no pictures, and a repeated one then counts once. Raises
    UsageError where there is none or one is empty.
    """
    from lynx_cl.router.embedders import Request

    if not texts:
        raise UsageError(f"task {name}: the router needs at least one prompt of it; give some")
    if images is None:
        requests = [Request(text) for text in sorted(set(texts))]
    else:
        requests = [Request(text, image) for text, image in zip(texts, images, strict=True)]
    return summed(name, [request.text for request in requests], embedder.embed(requests), embedder)


def summed(name: str, texts: Sequence[str], rows: NDArray[np.float32], embedder: Embedder) -> TaskStatistics:
    """The statistics of requests whose vectors `rows` (n, dimension) are known already."""
    from lynx_cl.router import prototypes

    exact = rows.astype(np.float64)
    if not np.isfinite(exact).all():
        raise LynxError(f"task {name}: the embedder {embedder.name} gave vectors that are not finite")
    centres, assigned = prototypes.cluster(rows, prototypes.count_for(len(rows)))
    kept = prototypes.spread(rows, prototypes.EXEMPLARS)
    moment = exact.T @ exact
    return TaskStatistics(
        task=name,
        embedder=embedder.name,
        embedder_digest=embedder.digest,
        count=len(rows),
        sum=exact.sum(0),
        second_moment=np.triu(moment) + np.triu(moment, 1).T,
        prototypes=centres,
        texts=tuple(texts[i] for i in kept),
        exemplars=rows[kept],
        similarities=prototypes.leave_one_out(rows, kept, assigned),
    )
