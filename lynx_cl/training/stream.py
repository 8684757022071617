"""Batches by step number: an endless row of epochs, cut into chunks that end where validation is due."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count, islice
from typing import Any

from lynx_cl.errors import LynxError

Epochs = Callable[[int], Iterable[Any]]  # the seed of an epoch -> its batches, the same for the same seed


class Stream:
    """Each `iter` gives the batches up to the next multiple of `chunk`, or to `stop`, starting at step `start`.

    Batch i is a function of seed and i alone, so a stream begun at a later step goes on as the first would have.
    """

    def __init__(self, epochs: Epochs, seed: int, start: int, stop: int, chunk: int) -> None:
        self.step, self.stop, self.chunk = start, stop, chunk
        self._batches = _from(epochs, seed, start)

    @property
    def chunks(self) -> int:
        """How many chunks are left."""
        return -(-self.stop // self.chunk) - self.step // self.chunk if self.step < self.stop else 0

    def __iter__(self) -> Iterator[Any]:
        end = min(self.stop, (self.step // self.chunk + 1) * self.chunk)
        while self.step < end:
            self.step += 1
            yield next(self._batches)


def epoch_seed(seed: int, epoch: int) -> int:
    """A seed of 31 bits for one epoch of a run, unrelated to that of the next."""
    return int.from_bytes(hashlib.sha256(f"{seed} {epoch}".encode()).digest()[:4], "big") >> 1


def _from(epochs: Epochs, seed: int, start: int) -> Iterator[Any]:
    skip = start
    for epoch in count():
        batches = epochs(epoch_seed(seed, epoch))
        if isinstance(batches, Sequence):  # skipped without being made
            length = len(batches)
            given: Iterable[Any] = (batches[i] for i in range(min(skip, length), length))
            skip, seen = max(0, skip - length), length
        else:
            iterator = iter(batches)
            seen = sum(1 for _ in islice(iterator, skip))
            skip -= seen
            given = iterator
        for batch in given:
            seen += 1
            yield batch
        if seen == 0:
            raise LynxError("training: the data source gave no batch; it needs at least one example")
