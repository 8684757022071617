"""Referring expressions about scenes: what they say, which objects they fit, and how they are put into words.

An expression is used only where it is unambiguous with a margin: it fits the same one object when every comparison of
pixels is read generously and when it is read strictly.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

from lynx_cl.data.scenes.places import COLUMNS, ROWS, SIDE
from lynx_cl.data.scenes.scene import Scene, SceneObject

MARGIN = 4.0  # pixels
KINDS = ("category", "group", "size", "place", "order", "relation")
ANY = ("object", "thing")
#: Supercategories that have an everyday word for one thing of them.
GROUPS = {
    "animal": "animal",
    "vehicle": "vehicle",
    "food": "food",
    "furniture": "piece of furniture",
    "electronic": "electronic device",
}
SIDES = {"left": "leftmost", "right": "rightmost", "top": "topmost", "bottom": "lowest"}
RELATIONS = {
    "left of": ("left of", "to the left of"),
    "right of": ("right of", "to the right of"),
    "above": ("above", "higher than"),
    "below": ("below", "lower than"),
    "next to": ("next to", "beside", "nearest to"),
}
_RANKS = ("", "first", "second", "third")
_PLACES = ("at the {}", "in the {}", "in the {} of the picture", "at the {} of the image")
_HEAD_IS_CATEGORY = 0.75  # how often an expression that says more still names the category


@dataclass(frozen=True)
class Expression:
    """'the small dog second from the left': every part that is set narrows the choice down.

    `head` is a category, a supercategory or one of ANY. `rank` counts from `side` among what head and size fit, 1 is
    the outermost. `relation` holds between the object and the one object that `anchor` refers to.
    """

    head: str
    size: str = ""
    place: str = ""
    side: str = ""
    rank: int = 0
    relation: str = ""
    anchor: Expression | None = None

    @property
    def kind(self) -> str:
        """What it tells by, one of KINDS."""
        if self.anchor is not None:
            return "relation"
        if self.side:
            return "order"
        if self.place:
            return "place"
        if self.size:
            return "size"
        return "group" if self.head in GROUPS else "category"


def refers(expression: Expression, scene: Scene, slack: float = 0.0) -> frozenset[int]:
    """The objects that an expression fits, as indexes into scene.objects.

    Positions are those of box centres. Every comparison is loosened by `slack` pixels, or tightened where it is
    negative; between two objects by twice that. An anchor that fits no object or several makes the expression fit none.
    """
    fit = [i for i, thing in enumerate(scene.objects) if _is(thing, expression)]
    if expression.place:
        fit = [i for i in fit if _within(scene.objects[i], expression.place, slack)]
    if expression.side:
        fit = _ranked(fit, scene, expression.side, expression.rank, slack)
    if expression.anchor is not None:
        anchors = refers(expression.anchor, scene, slack)
        if len(anchors) != 1:
            return frozenset()
        (anchor,) = anchors
        fit = [i for i in fit if i != anchor and _related(i, anchor, scene, expression.relation, slack)]
    return frozenset(fit)


def resolve(expression: Expression, scene: Scene) -> int | None:
    """The object that an expression means, or None where another reading within MARGIN is possible."""
    loose = refers(expression, scene, MARGIN)
    return next(iter(loose)) if len(loose) == 1 and refers(expression, scene, -MARGIN) == loose else None


def candidates(expression: Expression, scene: Scene) -> list[int]:
    """What one must look at to see which object is meant: it, its anchor, and all that it is picked out of."""
    meant = refers(expression, scene)
    if expression.anchor is not None:
        return sorted(meant) + sorted(refers(expression.anchor, scene))
    if expression.side:
        fit = [i for i, thing in enumerate(scene.objects) if _is(thing, expression)]
        return sorted(fit, key=lambda i: _from_side(scene.objects[i], expression.side))
    return sorted(meant)


def propose(kind: str, target: int, scene: Scene, rng: random.Random) -> Expression | None:
    """A random expression of a kind that means the object `target`, or None where the draw is ambiguous."""
    thing = scene.objects[target]
    head = thing.category if kind == "category" or rng.random() < _HEAD_IS_CATEGORY else _wider(thing, rng)
    made: Expression | None = None
    if kind == "category":
        made = Expression(head)
    elif kind == "group" and thing.supercategory in GROUPS:
        made = Expression(thing.supercategory)
    elif kind == "size":
        made = Expression(head, size=thing.size)
    elif kind == "place":
        made = Expression(head, place=thing.place)
    elif kind == "order":
        made = _order(head, target, scene, rng)
    elif kind == "relation":
        made = _relation(head, target, scene, rng)
    return made if made is not None and resolve(made, scene) == target else None


def phrase(expression: Expression, rng: random.Random) -> str:
    """An expression in words, without an article: 'small dog to the left of the cat'."""
    head = GROUPS.get(expression.head, expression.head)
    words = f"{expression.size} {head}" if expression.size else head
    if expression.side and expression.rank == 1 and rng.random() < 0.7:
        words = f"{SIDES[expression.side]} {words}"
    elif expression.side:
        words = f"{_RANKS[expression.rank]} {words} from the {expression.side}"
    if expression.place:
        words += " " + rng.choice(_PLACES).format(expression.place)
    if expression.anchor is not None:
        words += f" {rng.choice(RELATIONS[expression.relation])} the {phrase(expression.anchor, rng)}"
    return words


def _is(thing: SceneObject, expression: Expression) -> bool:
    head = expression.head
    named = head in ANY or thing.category == head or (head in GROUPS and thing.supercategory == head)
    return named and expression.size in ("", thing.size)


def _within(thing: SceneObject, place: str, slack: float) -> bool:
    row, column = place.split(" ")
    return all(
        (part == 0 or value >= part * SIDE / 3 - slack) and (part == 2 or value < (part + 1) * SIDE / 3 + slack)
        for value, part in zip(thing.center, (COLUMNS.index(column), ROWS.index(row)), strict=True)
    )


def _from_side(thing: SceneObject, side: str) -> float:
    """How far an object is from a side of the picture, up to a constant, pixels."""
    value = thing.center[0 if side in ("left", "right") else 1]
    return value if side in ("left", "top") else -value


def _ranked(fit: list[int], scene: Scene, side: str, rank: int, slack: float) -> list[int]:
    """Those of `fit` that can be number `rank` from a side."""
    far = {i: _from_side(scene.objects[i], side) for i in fit}
    before = {i: sum(far[j] < far[i] - 2 * slack for j in fit if j != i) for i in fit}
    after = {i: sum(far[j] > far[i] + 2 * slack for j in fit if j != i) for i in fit}
    return [i for i in fit if before[i] < rank and after[i] <= len(fit) - rank]


def _related(i: int, anchor: int, scene: Scene, relation: str, slack: float) -> bool:
    a, b = scene.objects[i], scene.objects[anchor]
    if relation == "next to":
        others = (o for j, o in enumerate(scene.objects) if j not in (i, anchor))
        return all(_distance(a, b) <= _distance(o, b) + 2 * slack for o in others)
    side = {"left of": "left", "right of": "right", "above": "top", "below": "bottom"}[relation]
    return _from_side(a, side) < _from_side(b, side) + 2 * slack


def _distance(a: SceneObject, b: SceneObject) -> float:
    return ((a.center[0] - b.center[0]) ** 2 + (a.center[1] - b.center[1]) ** 2) ** 0.5


def _wider(thing: SceneObject, rng: random.Random) -> str:
    """A word for an object that is wider than its category."""
    if thing.supercategory in GROUPS and rng.random() < 0.4:
        return thing.supercategory
    return rng.choice(ANY)


def _order(head: str, target: int, scene: Scene, rng: random.Random) -> Expression | None:
    side = rng.choice(tuple(SIDES))
    fit = [i for i, thing in enumerate(scene.objects) if _is(thing, Expression(head))]
    if len(fit) == 1:  # nothing to count: count all objects
        head, fit = rng.choice(ANY), list(range(len(scene.objects)))
    rank = sorted(fit, key=lambda i: _from_side(scene.objects[i], side)).index(target) + 1
    return Expression(head, side=side, rank=rank) if len(fit) > 1 and rank < len(_RANKS) else None


def _relation(head: str, target: int, scene: Scene, rng: random.Random) -> Expression | None:
    others = [i for i in range(len(scene.objects)) if i != target]
    if not others:
        return None
    other = scene.objects[rng.choice(others)]
    alone = Counter(o.category for o in scene.objects)[other.category] == 1
    anchor = Expression(other.category, size="" if alone else other.size)
    relations = [r for r in RELATIONS if target in refers(Expression(head, relation=r, anchor=anchor), scene, -MARGIN)]
    return Expression(head, relation=rng.choice(relations), anchor=anchor) if relations else None
