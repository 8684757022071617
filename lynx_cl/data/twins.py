"""Twins: pictures of a test split that are also in a training split, found by how they look, whatever their files.

Two pictures are twins where their perceptual hashes differ in at most NEAR of 64 bits and their thumbnails in at most
ALIKE grey levels in the mean. The hash is pHash: the signs, about their median, of the lowest 8 x 8 frequencies of a
grey 32 x 32 thumbnail (Zauner 2010, section 3.2.1). It finds copies in another size or format, not crops or mirrors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

NEAR = 6  # of 64 bits
ALIKE = 6.0  # of 255 grey levels
SIDE, KEPT = 32, 8  # of a thumbnail, pixels; of its frequencies
_BATCH = 512  # pictures of training compared at a time


@dataclass(frozen=True)
class Look:
    """How a picture looks: `source`, `split` and `key` say which it is; `bits` is its hash, `thumbnail` (32, 32)."""

    source: str
    split: str
    key: str
    bits: int
    thumbnail: Any


@dataclass(frozen=True)
class Twin:
    """A picture of a test split, and one that is learned from and looks the same."""

    test: tuple[str, str, str]  # source, split, key
    train: tuple[str, str, str]
    distance: int  # bits

    def __str__(self) -> str:
        (source, split, key), (other, part, its) = self.test, self.train
        return f"{source}, {split}: '{key}' looks like '{its}' of {other}, {part} ({self.distance} of 64 bits apart)"


def thumbnail(picture: Image.Image) -> Any:
    """A grey (32, 32) uint8 thumbnail."""
    from PIL import Image

    return np.asarray(picture.convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def perceptual_hash(grey: Any) -> int:
    """The 64 bits of a grey (32, 32) thumbnail."""
    low = _BASIS @ np.asarray(grey, np.float64) @ _BASIS.T
    signs = (low > np.median(low)).ravel()
    return int.from_bytes(np.packbits(signs).tobytes(), "big")


def look(source: str, split: str, key: str, picture: Image.Image) -> Look:
    """How a picture looks."""
    small = thumbnail(picture)
    return Look(source, split, key, perceptual_hash(small), small)


def twins(tested: Sequence[Look], learned: Iterable[Look]) -> Iterator[Twin]:
    """Each picture that is learned from, with each picture of a test split that it looks like.

    `learned` is gone through once, and may be longer than memory.
    """
    if not tested:
        return
    bits = np.array([one.bits for one in tested], np.uint64)
    small = np.stack([one.thumbnail for one in tested]).astype(np.int16)
    batch: list[Look] = []
    for one in learned:
        batch.append(one)
        if len(batch) == _BATCH:
            yield from _compare(tested, bits, small, batch)
            batch = []
    yield from _compare(tested, bits, small, batch)


class Gallery:
    """Pictures of which no two are twins, a kilobyte of memory each."""

    def __init__(self) -> None:
        self._kept: list[Look] = []
        self._bits, self._small = np.zeros(_BATCH, np.uint64), np.zeros((_BATCH, SIDE, SIDE), np.uint8)

    def add(self, one: Look) -> Look | None:
        """Takes a picture in, unless it looks like one that is there already: that one is given, and nothing added."""
        count = len(self._kept)
        near = np.flatnonzero(np.bitwise_count(self._bits[:count] ^ np.uint64(one.bits)) <= NEAR)
        apart = np.abs(self._small[near].astype(np.int16) - one.thumbnail).mean((1, 2))
        if (apart <= ALIKE).any():
            return self._kept[int(near[apart <= ALIKE][0])]
        if count == len(self._bits):
            self._bits = np.concatenate([self._bits, np.zeros_like(self._bits)])
            self._small = np.concatenate([self._small, np.zeros_like(self._small)])
        self._bits[count], self._small[count] = one.bits, one.thumbnail
        self._kept.append(one)
        return None


def _compare(tested: Sequence[Look], bits: Any, small: Any, batch: Sequence[Look]) -> Iterator[Twin]:
    if not batch:
        return
    apart = np.bitwise_count(np.array([one.bits for one in batch], np.uint64)[:, None] ^ bits[None])
    for i, j in np.argwhere(apart <= NEAR):
        one, other = batch[i], tested[j]
        if np.abs(small[j] - one.thumbnail).mean() <= ALIKE:
            yield Twin((other.source, other.split, other.key), (one.source, one.split, one.key), int(apart[i, j]))


def _basis() -> Any:
    """(8, 32): the lowest frequencies of the discrete cosine transform (DCT-II)."""
    frequency, place = np.arange(KEPT)[:, None], np.arange(SIDE)[None]
    return np.cos(np.pi * frequency * (2 * place + 1) / (2 * SIDE))


_BASIS = _basis()
