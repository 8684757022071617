"""Region naming: a box is given, what is in it is the answer."""

from __future__ import annotations

from lynx_cl.data.example import Box, Picture
from lynx_cl.data.kinds import Asking, Query, TaskKind, register

SHARED = 0.3  # of a box: where another thing's box covers more of it, it is not asked about
BOXES = 4  # asked about one picture


def covered(box: Box, other: Box) -> float:
    """The share of a box that another covers.

    >>> covered((0.0, 0.0, 0.5, 0.5), (0.25, 0.0, 1.0, 1.0))
    0.5
    """
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    return max(0.0, width) * max(0.0, height) / ((box[2] - box[0]) * (box[3] - box[1]))


def queries(picture: Picture, asking: Asking) -> list[Query]:
    if picture.phrases:
        return [
            Query({"x": asking.wanted.grammar.write(target.box)}, target.label, (target,), "phrase")
            for target in asking.rng.sample(picture.phrases, min(BOXES, len(picture.phrases)))
        ]
    clear = [
        target
        for target in asking.things(picture)
        if all(other is target or covered(target.box, other.box) <= SHARED for other in picture.targets)
    ]
    return [
        Query({"x": asking.wanted.grammar.write(target.box)}, asking.name(target.label), (target,), "label")
        for target in asking.rng.sample(clear, min(BOXES, len(clear)))
    ]


KIND = register(TaskKind("region-naming", metrics=("accuracy",), queries=queries, keys=("grammar",), phrases=True))
