"""Composed requests on drawn scenes: how many of one kind there are, and where the one is that stands out among them.

A small test set for what no bank was taught alone. Every request is split into its two clauses here as well, each a
request by itself, so that what splits requests can be held against them. Truth is the scene's own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count as numbers

from lynx_cl.data.example import Box, normalise
from lynx_cl.data.refer import SIDES, Expression, resolve
from lynx_cl.data.scenes import BY_NAME, SIDE, Scene
from lynx_cl.data.scenes.scene import SIZES
from lynx_cl.data.world import SceneImage

START = 1 << 31  # first scene; every other test set of a seed ends before it
COUNTING, GROUNDING = "counting", "grounding"
WORDS = (*SIDES.values(), "smallest", "largest")
#: A request, and its clauses with the task of each.
PHRASINGS: tuple[tuple[str, tuple[tuple[str, str], tuple[str, str]]], ...] = (
    (
        "Count the {many} and show where the {word} one is.",
        ((COUNTING, "Count the {many}."), (GROUNDING, "Show where the {word} {one} is.")),
    ),
    (
        "Count the {many} and locate the {word} one.",
        ((COUNTING, "Count the {many}."), (GROUNDING, "Locate the {word} {one}.")),
    ),
    (
        "How many {many} are there, and where is the {word} one?",
        ((COUNTING, "How many {many} are there?"), (GROUNDING, "Where is the {word} {one}?")),
    ),
    (
        "Count all the {many}, then box the {word}.",
        ((COUNTING, "Count all the {many}."), (GROUNDING, "Box the {word} {one}.")),
    ),
    (
        "Tell me how many {many} you see; also mark the {word} one.",
        ((COUNTING, "Tell me how many {many} you see."), (GROUNDING, "Mark the {word} {one}.")),
    ),
    (
        "Please count the {many} and draw a box around the {word} one.",
        ((COUNTING, "Count the {many}."), (GROUNDING, "Draw a box around the {word} {one}.")),
    ),
    (
        "Give the number of {many}. Then find the {word} one.",
        ((COUNTING, "Give the number of {many}."), (GROUNDING, "Find the {word} {one}.")),
    ),
    (
        "Say how many {many} there are and give the box of the {word}.",
        ((COUNTING, "Say how many {many} there are."), (GROUNDING, "Give the box of the {word} {one}.")),
    ),
    (
        "Count the {many} as well as tell me where the {word} one is.",
        ((COUNTING, "Count the {many}."), (GROUNDING, "Tell me where the {word} {one} is.")),
    ),
    (
        "Locate the {word} {one} and count all the {many}.",
        ((GROUNDING, "Locate the {word} {one}."), (COUNTING, "Count all the {many}.")),
    ),
    (
        "Could you point out the {word} {one} and tell me how many {many} there are?",
        ((GROUNDING, "Point out the {word} {one}."), (COUNTING, "Tell me how many {many} there are.")),
    ),
    (
        "Find the {word} {one}; how many {many} are there?",
        ((GROUNDING, "Find the {word} {one}."), (COUNTING, "How many {many} are there?")),
    ),
)


@dataclass(frozen=True)
class ComposedExample:
    """A request about a scene, its two clauses in order with the task of each, and what is true.

    `number` is how many objects of category `label` there are, two or more, and `box` that of the one that is `word`,
    one of WORDS.
    """

    image: SceneImage
    text: str
    clauses: tuple[str, str]
    tasks: tuple[str, str]
    label: str
    word: str
    number: int
    box: Box


def composed_examples(count: int = 200, seed: int = 0) -> tuple[ComposedExample, ...]:
    """`count` examples, each on a scene of its own, words and phrasings in turn; the same for the same arguments."""
    images = (SceneImage("test", seed, index) for index in numbers(START))
    return tuple(_next(images, turn) for turn in range(count))


def meant(label: str, word: str, scene: Scene) -> int | None:
    """The object of a category that a word of WORDS picks out, an index into scene.objects.

    None where it is in doubt: by less than refer.MARGIN, or as two are of its size.
    """
    for side, name in SIDES.items():
        if name == word:
            return resolve(Expression(label, side=side, rank=1), scene)
    held = [size for size in SIZES if any((o.category, o.size) == (label, size) for o in scene.objects)]
    if not held:
        return None
    return resolve(Expression(label, size=held[0 if word == "smallest" else -1]), scene)


def _next(images: Iterator[SceneImage], turn: int) -> ComposedExample:
    word = WORDS[turn % len(WORDS)]
    text, clauses = PHRASINGS[turn // len(WORDS) % len(PHRASINGS)]
    for image in images:
        for label, number in Counter(thing.category for thing in image.scene.objects).items():
            target = meant(label, word, image.scene) if number > 1 else None
            if target is not None:
                words = {"one": label, "many": BY_NAME[label].plural, "word": word}
                first, second = clauses
                return ComposedExample(
                    image=image,
                    text=text.format(**words),
                    clauses=(first[1].format(**words), second[1].format(**words)),
                    tasks=(first[0], second[0]),
                    label=label,
                    word=word,
                    number=number,
                    box=normalise(image.scene.objects[target].box, (SIDE, SIDE), image.scene.key),
                )
    raise AssertionError("scenes have no end")
