"""From a data source to the batches of an epoch: groups of examples about one picture, shuffled by the epoch's seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lynx_cl.data.collate import Batch, encode
from lynx_cl.data.example import Example, Lazy
from lynx_cl.training.stream import Epochs

if TYPE_CHECKING:
    from lynx_cl.base.load import Base
    from lynx_cl.data.sources import Groups


def epochs(base: Base, groups: Groups, pictures: int) -> Epochs:
    """Batches of `pictures` groups each; the last of an epoch may be smaller. Same seed, same batches."""

    def epoch(seed: int) -> Sequence[Batch]:
        order = list(range(len(groups)))
        random.Random(seed).shuffle(order)
        return Lazy(-(-len(order) // pictures), lambda i: make_batch(base, groups, order[i * pictures :][:pictures]))

    return epoch


def make_batch(base: Base, groups: Groups, chosen: Sequence[int]) -> Batch:
    """One batch of the chosen groups."""
    examples: list[Example] = [example for index in chosen for example in groups[index]]
    return encode(base.processor, examples, pack=base.card.packs)


def fixed_batches(base: Base, groups: Groups, pictures: int, most: int) -> list[Batch]:
    """Batches of the first `most` groups in order, for validation."""
    count = min(most, len(groups))
    return [make_batch(base, groups, range(i, min(i + pictures, count))) for i in range(0, count, pictures)]
