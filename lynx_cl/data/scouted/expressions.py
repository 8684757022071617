"""Referring expressions about things in real pictures: each fits one thing, with a margin, among all that are claimed.

An expression tells a thing by its category alone, by being the largest or smallest of its category, by the part of the
picture that it lies in, by its rank from a side, or by how it lies from another thing. No word wider than a category is
used ('the leftmost object'): what is not labelled may be there all the same.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from lynx_cl.data.example import Box
from lynx_cl.data.kinds.detection import MOST
from lynx_cl.data.refer import RELATIONS, SIDES
from lynx_cl.data.scenes.places import COLUMNS, ROWS
from lynx_cl.data.scouted.findings import area

MARGIN = 0.04  # of a side of the picture: as far as people may disagree about where a thing's middle lies
LARGER = 1.5  # at least between the areas of what is told by size
_RANKS = ("", "first", "second", "third")
_PLACES = ("at the {}", "in the {}", "in the {} of the picture", "at the {} of the image")
_AXES = {"left": (0, 1), "right": (0, -1), "top": (1, 1), "bottom": (1, -1)}  # which coordinate grows from a side
_FROM = {"left of": "left", "right of": "right", "above": "top", "below": "bottom"}


@dataclass(frozen=True)
class Claim:
    """A thing that somebody says is in the picture: `words` name it. One that is not `sure` may be there all the same:
    no expression may fit it, and none is made by means of it."""

    words: str
    box: Box
    sure: bool = True

    def center(self, axis: int) -> float:
        """Of its box, a fraction of the picture's width (axis 0) or height (axis 1)."""
        return (self.box[axis] + self.box[axis + 2]) / 2


@dataclass(frozen=True)
class Said:
    """An expression without an article, its kind, and which claims one must look at to see what it means, in order."""

    request: str
    kind: str
    relevant: tuple[int, ...]


def expressions(claims: Sequence[Claim], target: int, rng: random.Random) -> list[Said]:
    """Every kind of expression that means claims[target] and nothing else, at most one of each kind."""
    thing = claims[target]
    peers = [i for i, one in enumerate(claims) if one.words == thing.words]
    made = [_place(claims, peers, target, rng)]
    if len(peers) == 1:
        made.append(Said(thing.words, "category", (target,)))
    elif len(peers) <= MOST and all(claims[i].sure for i in peers):
        made += [_size(claims, peers, target), _order(claims, peers, target, rng)]
    made.append(_relation(claims, peers, target, rng))
    return sorted((said for said in made if said is not None), key=lambda said: said.kind)


def _size(claims: Sequence[Claim], peers: Sequence[int], target: int) -> Said | None:
    own = area(claims[target].box)
    others = [area(claims[i].box) for i in peers if i != target]
    for word, fits in (("largest", own >= LARGER * max(others)), ("smallest", min(others) >= LARGER * own)):
        if fits:
            return Said(f"{word} {claims[target].words}", "size", tuple(peers))
    return None


def _order(claims: Sequence[Claim], peers: Sequence[int], target: int, rng: random.Random) -> Said | None:
    made = []
    for side, (axis, sign) in _AXES.items():
        far = {i: sign * claims[i].center(axis) for i in peers}
        ranked = sorted(peers, key=lambda i: (far[i], i))
        rank = ranked.index(target) + 1
        apart = all(abs(far[i] - far[target]) >= 2 * MARGIN for i in peers if i != target)
        if apart and rank < len(_RANKS):
            words = claims[target].words
            plain = f"{SIDES[side]} {words}" if rank == 1 else f"{_RANKS[rank]} {words} from the {side}"
            made.append(Said(plain, "order", tuple(ranked)))
    return rng.choice(made) if made else None


def _place(claims: Sequence[Claim], peers: Sequence[int], target: int, rng: random.Random) -> Said | None:
    thing = claims[target]
    column, row = (min(2, int(thing.center(axis) * 3)) for axis in (0, 1))
    if not _within(thing, (column, row), -MARGIN):
        return None
    if any(_within(claims[i], (column, row), MARGIN) for i in peers if i != target):
        return None
    where = "center" if (column, row) == (1, 1) else f"{ROWS[row]} {COLUMNS[column]}"
    return Said(f"{thing.words} {rng.choice(_PLACES).format(where)}", "place", (target,))


def _within(thing: Claim, part: tuple[int, int], slack: float) -> bool:
    """Whether a thing's middle lies in a ninth of the picture (column, row), widened by `slack` inwards."""
    return all(
        (part[axis] == 0 or thing.center(axis) >= part[axis] / 3 - slack)
        and (part[axis] == 2 or thing.center(axis) < (part[axis] + 1) / 3 + slack)
        for axis in (0, 1)
    )


def _relation(claims: Sequence[Claim], peers: Sequence[int], target: int, rng: random.Random) -> Said | None:
    """How the target lies from a thing that its category alone tells; the difference along that side is the larger."""
    names = [one.words for one in claims]
    made = []
    for i, anchor in enumerate(claims):
        if i in peers or not anchor.sure or names.count(anchor.words) > 1:
            continue
        for relation, side in _FROM.items():
            axis, sign = _AXES[side]
            nearer = [sign * (anchor.center(axis) - claims[j].center(axis)) for j in peers]
            across = abs(anchor.center(1 - axis) - claims[target].center(1 - axis))
            own = nearer[peers.index(target)]
            others = [value for j, value in zip(peers, nearer, strict=True) if j != target]
            if own >= 2 * MARGIN and own >= across and all(value <= -MARGIN for value in others):
                words = f"{claims[target].words} {rng.choice(RELATIONS[relation])} the {anchor.words}"
                made.append(Said(words, "relation", (target, i)))
    return rng.choice(made) if made else None
