"""Spatial relations: how one named thing lies from another, along both sides of the picture: 'above left', 'right'."""

from __future__ import annotations

from lynx_cl.data.example import Picture, Target
from lynx_cl.data.kinds import Asking, Query, TaskKind, alone, center, register

APART = 1 / 12  # of a side: centres this far apart lie beside each other
LEVEL = 1 / 24  # of a side: centres no further apart do not; in between, nothing is asked
PAIRS = 3  # asked about one picture


def relation(a: Target, b: Target) -> str | None:
    """How `a` lies from `b`, by the centres of their boxes; None where that is not clear, or where they coincide.

    >>> relation(Target("a", (0.0, 0.0, 0.2, 0.2)), Target("b", (0.5, 0.02, 0.7, 0.22)))
    'left'
    """
    words = []
    for axis, (before, after) in ((1, ("above", "below")), (0, ("left", "right"))):
        apart = center(a)[axis] - center(b)[axis]
        if LEVEL < abs(apart) < APART:
            return None
        if abs(apart) >= APART:
            words.append(before if apart < 0 else after)
    return " ".join(words) or None


def queries(picture: Picture, asking: Asking) -> list[Query]:
    single = alone(asking.things(picture))
    pairs = [(a, b, said) for a in single for b in single if a is not b and (said := relation(a, b))]
    return [
        Query({"x": f"the {asking.name(a.label)}", "y": f"the {asking.name(b.label)}"}, said, (a, b), said)
        for a, b, said in asking.rng.sample(pairs, min(PAIRS, len(pairs)))
    ]


KIND = register(TaskKind("spatial", metrics=("accuracy",), queries=queries, places=("x", "y")))
