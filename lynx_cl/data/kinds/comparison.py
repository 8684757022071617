"""Comparison: which of two named things is larger or lies further to a side; of which of two kinds there is more."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

from lynx_cl.data.example import Picture, Target
from lynx_cl.data.kinds import Asking, Query, TaskKind, alone, center, register
from lynx_cl.data.words import plural

APART = 1 / 12  # of a side of the picture: at least between the centres of what is compared by place
LARGER = 1.25  # at least between the longer sides of what is compared by size
EACH = 1  # questions of each type about one picture
_SIDES = {"further left": (0, -1), "further right": (0, 1), "further up": (1, -1), "further down": (1, 1)}


def queries(picture: Picture, asking: Asking) -> list[Query]:
    rng, things = asking.rng, asking.things(picture)
    found: dict[str, list[tuple[str, str, str, str, tuple[Target, ...]]]] = {"size": [], "place": [], "number": []}
    for a, b in combinations(alone(things), 2):
        first, second = asking.name(a.label), asking.name(b.label)
        for how, more in (("larger", True), ("smaller", False)):
            larger, smaller = (a, b) if _side(a) > _side(b) else (b, a)
            if _side(larger) >= LARGER * _side(smaller):
                found["size"].append((first, second, how, asking.name((larger if more else smaller).label), (a, b)))
        for how, (axis, sign) in _SIDES.items():
            if abs(center(a)[axis] - center(b)[axis]) >= APART:
                further = max((a, b), key=lambda target: sign * center(target)[axis])
                found["place"].append((first, second, how, asking.name(further.label), (a, b)))
    counts = Counter(target.label for target in things)
    for one, other in combinations(sorted(counts), 2):
        if counts[one] != counts[other]:
            own = tuple(target for target in things if target.label in (one, other))
            for how, choose in (("more numerous", max), ("less numerous", min)):
                answer = choose((one, other), key=lambda label: counts[label])
                names = [plural(asking.name(label)) for label in (one, other, answer)]
                found["number"].append((names[0], names[1], how, names[2], own))
    made = []
    for kind, choices in found.items():
        for first, second, how, answer, targets in rng.sample(choices, min(EACH, len(choices))):
            x, y = rng.sample((f"the {first}", f"the {second}"), 2)
            made.append(Query({"x": x, "y": y, "how": how}, f"the {answer}", targets, kind))
    return made


def _side(target: Target) -> float:
    """The longer side of a target's box, as a fraction of the picture's."""
    x0, y0, x1, y1 = target.box
    return max(x1 - x0, y1 - y0)


KIND = register(TaskKind("comparison", metrics=("accuracy",), queries=queries, places=("x", "y", "how")))
