"""From a data source to the batches of an epoch: groups of examples about one picture, shuffled by the epoch's seed.

Rows of one batch are padded to the longest, so pictures with about as much to say share a batch: each window of some
batches is sorted by length, cut, and its batches shuffled.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from lynx_cl.data.collate import Batch, encode
from lynx_cl.data.example import Example, Lazy
from lynx_cl.training.ranks import ALONE, Rank
from lynx_cl.training.stream import Epochs

if TYPE_CHECKING:
    from lynx_cl.base.load import Base
    from lynx_cl.data.sources import Groups

WINDOW = 8  # batches whose pictures are sorted together
MANY = 1 << 20  # pictures, from which on their order is drawn by numpy: a list of ten million takes 0.4 GB

Group = Sequence[Example]


def epochs(base: Base, groups: Groups, pictures: int, rank: Rank = ALONE) -> Epochs:
    """Batches of `pictures` groups each; the last of a window may be smaller. Same seed, same batches.

    Of each, this process's share; the batches themselves do not depend on how many share them.
    """

    def epoch(seed: int) -> Sequence[Batch]:
        order = shuffled(len(groups), seed)

        @lru_cache(maxsize=1)
        def window(number: int) -> list[list[Group]]:
            chosen = order[number * WINDOW * pictures :][: WINDOW * pictures]
            cut = by_length([groups[index] for index in chosen], pictures)
            random.Random(f"{seed}/{number}").shuffle(cut)
            return cut

        return Lazy(-(-len(order) // pictures), lambda i: share_of(base, window(i // WINDOW)[i % WINDOW], rank))

    return epoch


def shuffled(count: int, seed: int) -> Sequence[int]:
    """The numbers below `count` in an order drawn by a seed.

    >>> sorted(shuffled(3, 0))
    [0, 1, 2]
    """
    if count < MANY:
        order = list(range(count))
        random.Random(seed).shuffle(order)
        return order
    drawn: Sequence[int] = np.random.default_rng(seed).permutation(np.arange(count, dtype=np.uint32))  # type: ignore[assignment]
    return drawn


def by_length(members: Sequence[Group], size: int) -> list[list[Group]]:
    """Groups sorted by how much text they hold and cut into batches of `size`.

    >>> [[len(group) for group in batch] for batch in by_length([[], [], []], 2)]
    [[0, 0], [0]]
    """
    ordered = sorted(members, key=text_length)
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]


def text_length(group: Group) -> int:
    """Characters of all questions and answers about a picture."""
    return sum(len(step.question) + len(step.answer) for example in group for step in example.steps)


def share_of(base: Base, chosen: Sequence[Group], rank: Rank) -> Batch:
    """This process's share of a batch; where it has none, the first group with all weights at zero."""
    own = rank.share(chosen)
    if own:
        return make_batch(base, own)
    batch = make_batch(base, chosen[:1])
    return replace(batch, step_weights=torch.zeros_like(batch.step_weights))


def make_batch(base: Base, chosen: Sequence[Group]) -> Batch:
    """One batch of the chosen groups."""
    return encode(base.processor, [example for group in chosen for example in group], pack=base.card.packs)


def fixed_batches(base: Base, groups: Groups, pictures: int, most: int) -> list[Batch]:
    """Batches of the first `most` groups, for validation."""
    chosen = [groups[index] for index in range(min(most, len(groups)))]
    return [make_batch(base, batch) for batch in by_length(chosen, pictures)]
