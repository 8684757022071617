"""Kinds of task, one file each: what is asked about a picture, and what a card may say.

A new kind is a file here that registers it, and one of the same name in `lynx_cl/evaluation/` with its `score`. Nothing
here imports torch.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lynx_cl.data.example import Picture, Target
from lynx_cl.data.pictures import plain_label
from lynx_cl.errors import UsageError

if TYPE_CHECKING:
    from lynx_cl.data.pictures import PictureSet
    from lynx_cl.data.sources import DataSource, Wanted


@dataclass(frozen=True)
class Query:
    """One question about a picture: the words for a phrasing's places, the answer, and the things that it is about.

    `kind` is the type of question within the task, for scores by type."""

    words: Mapping[str, str]
    answer: str
    targets: tuple[Target, ...]
    kind: str


@dataclass(frozen=True)
class Asking:
    """What a question is made with: what the user wants, the labels that occur in the set, a source of chance."""

    wanted: Wanted
    labels: Sequence[str]
    rng: random.Random

    def name(self, label: str) -> str:
        """What the card calls a label."""
        return self.wanted.card.classes.get(label, plain_label(label))

    def things(self, picture: Picture) -> list[Target]:
        """The targets of the card's classes (empty: of any), of no crowd, from left to right by centre, then down."""
        fit = (target for target in picture.targets if self._fits(target.label) and target.label not in picture.crowds)
        return sorted(fit, key=lambda target: tuple(round(value, 6) for value in center(target)))

    def crowds(self, picture: Picture) -> set[str]:
        """Labels of the card's classes of which a picture holds a crowd: not all of them can be told."""
        return {label for label in picture.crowds if self._fits(label)}

    def _fits(self, label: str) -> bool:
        return not self.wanted.card.classes or label in self.wanted.card.classes


Queries = Callable[[Picture, Asking], list[Query]]


@dataclass(frozen=True)
class TaskKind:
    """A kind of task.

    - `metrics`: what its score may be, the first is the usual one.
    - `queries`: what is asked about one picture; empty where nothing can be.
    - `keys`: keys of a card that it reads and not every kind does.
    - `places`: the names in braces that each of its phrasings holds once.
    - `signs`: drawn scenes carry a sign.
    - `boxes`: its answers are boxes, with labels or without; else they are words.
    - `tokens`: most tokens of an answer.
    - `source`: opens the examples in place of `queries`, for kinds that need more than one picture at a time.
    - `own_words`: the data says the questions itself; a card needs no phrasings, and annotated pictures are of no use.
    - `phrases`: asks by the phrases of a picture where it has some.
    """

    name: str
    metrics: tuple[str, ...]
    queries: Queries | None = None
    keys: tuple[str, ...] = ()
    places: tuple[str, ...] = ("x",)
    signs: bool = False
    boxes: bool = False
    tokens: int = 64
    source: Callable[[PictureSet, Wanted], DataSource] | None = None
    own_words: bool = False
    phrases: bool = False

    def open(self, pictures: PictureSet, wanted: Wanted) -> DataSource:
        """The examples of this kind about a set of pictures. Raises UsageError for a kind that needs questions."""
        if self.own_words:
            raise UsageError(
                f"{pictures.name}: holds boxes and no questions; task '{wanted.card.name}' is of kind {self.name}, "
                "give it questions and answers, as llava:FILE"
            )
        if self.source is not None:
            return self.source(pictures, wanted)
        from lynx_cl.data.asked import asked_source

        assert self.queries is not None, f"kind {self.name}: neither queries nor a source"
        return asked_source(pictures, wanted, self.queries)


_KINDS: dict[str, TaskKind] = {}


def register(kind: TaskKind) -> TaskKind:
    """Makes a kind known by its name."""
    _KINDS[kind.name] = kind
    return kind


@functools.cache
def kinds() -> dict[str, TaskKind]:
    """All kinds by name, in alphabetical order: those of the files in this folder."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return dict(sorted(_KINDS.items()))


def center(target: Target) -> tuple[float, float]:
    """Centre of a target's box, fractions of width and height."""
    x0, y0, x1, y1 = target.box
    return (x0 + x1) / 2, (y0 + y1) / 2


def alone(things: Sequence[Target]) -> list[Target]:
    """Those whose label no other has."""
    labels = [target.label for target in things]
    return [target for target in things if labels.count(target.label) == 1]
