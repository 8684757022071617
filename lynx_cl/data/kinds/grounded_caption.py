"""Grounded captions: every thing with its size in a word and its box, from left to right."""

from __future__ import annotations

from lynx_cl.data.example import Box, Picture
from lynx_cl.data.kinds import Asking, Query, TaskKind, register
from lynx_cl.data.kinds.detection import MOST

SIZES = ((0.26, "small"), (0.41, "medium"), (1.0, "large"))  # by the longer side of a box, at most


def size_word(box: Box) -> str:
    """The word for how large a thing is, by the longer side of its box as a fraction of the picture.

    >>> size_word((0.1, 0.1, 0.3, 0.2)), size_word((0.0, 0.0, 0.4, 0.3)), size_word((0.0, 0.0, 0.2, 0.9))
    ('small', 'medium', 'large')
    """
    side = max(box[2] - box[0], box[3] - box[1])
    return next(word for most, word in SIZES if side <= most)


def queries(picture: Picture, asking: Asking) -> list[Query]:
    things = asking.things(picture)
    if not 0 < len(things) <= MOST or asking.crowds(picture):
        return []
    items = [(f"{size_word(target.box)} {asking.name(target.label)}", target.box) for target in things]
    return [Query({}, asking.wanted.grammar.write_all(items), tuple(things), "caption")]


KIND = register(
    TaskKind(
        "grounded-caption",
        metrics=("grounded_f1", "caption_f1"),
        queries=queries,
        keys=("grammar",),
        places=(),
        boxes=True,
        tokens=192,
    )
)
