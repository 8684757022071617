"""What nano is asked in its last stage besides: how many of one kind, which of two, a list, what a sign says.

As before no answer holds a coordinate, and nothing is asked whose answer is not clear in the picture.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

from lynx_cl.base.nano import questions as first
from lynx_cl.base.nano.clear import MARGIN, single
from lynx_cl.base.nano.questions import Made, Question, put
from lynx_cl.data.scenes.categories import BY_NAME, COCO
from lynx_cl.data.scenes.scene import SIZES, Scene
from lynx_cl.data.words import number_word

NEAR = 1.0  # pixels: a list is asked for where its order and its places are clear by this much
NOTHING = "nothing"  # what is said where there is no sign
_SIZED = 0.35  # of the counts, how many are of one size
_ABSENT = 0.15  # of the counts and lists, how many are of what is not there
_ORDER = tuple(SIZES)
#: The words for further along each axis, and whether the larger coordinate is meant.
_FURTHER = {"left": (0, False), "right": (0, True), "up": (1, False), "down": (1, True)}


def ask(kind: str, scene: Scene, rng: random.Random, stray: bool = True) -> Question | None:
    """As `questions.ask`, for the kinds of both."""
    if kind not in _MAKERS:
        return first.ask(kind, scene, rng, stray)
    return put(kind, _MAKERS[kind](scene, rng), rng, stray)


def _absent(scene: Scene, rng: random.Random) -> str:
    present = {o.category for o in scene.objects}
    return rng.choice([c.name for c in COCO if c.name not in present])


def _many(scene: Scene, rng: random.Random) -> Made:
    if rng.random() < _ABSENT:
        name = _absent(scene, rng)
    else:
        counts = Counter(o.category for o in scene.objects)
        name = rng.choice([counts.most_common(1)[0][0], *sorted(counts)])
    sizes = [o.size for o in scene.objects if o.category == name]
    size = rng.choice([*sizes, *_ORDER]) if rng.random() < _SIZED else ""
    number = sum(o.category == name and size in ("", o.size) for o in scene.objects)
    word = number_word(number)
    return {"xs": f"{size} {BY_NAME[name].plural}".strip()}, word, word


def _more(scene: Scene, rng: random.Random) -> Made:
    counts = Counter(o.category for o in scene.objects)
    one = rng.choice(sorted(counts))
    others = [name for name in sorted(counts) if name != one]
    other = rng.choice(others) if others and rng.random() < 0.8 else _absent(scene, rng)
    pair = [one, other]
    rng.shuffle(pair)
    a, b = pair
    answer = "as many" if counts[a] == counts[b] else f"the {BY_NAME[a if counts[a] > counts[b] else b].plural}"
    return {"xs": BY_NAME[a].plural, "ys": BY_NAME[b].plural}, answer, answer


def _larger(scene: Scene, rng: random.Random) -> Made:
    alone = single(scene)
    pairs = [(a, b) for a in alone for b in alone if a.size != b.size]
    if not pairs:
        return None
    a, b = rng.choice(pairs)
    larger, smaller = sorted((a, b), key=lambda o: _ORDER.index(o.size), reverse=True)
    which = rng.choice(("larger", "smaller"))
    answer = f"the {(larger if which == 'larger' else smaller).category}"
    return {"x": a.category, "y": b.category, "template": which}, answer, answer


def _further(scene: Scene, rng: random.Random) -> Made:
    way = rng.choice(tuple(_FURTHER))
    axis, greater = _FURTHER[way]
    alone = single(scene)
    pairs = [(a, b) for a in alone for b in alone if abs(a.center[axis] - b.center[axis]) >= 2 * MARGIN]
    if not pairs:
        return None
    a, b = rng.choice(pairs)
    answer = f"the {(a if (a.center[axis] > b.center[axis]) == greater else b).category}"
    return {"x": a.category, "y": b.category, "way": way}, answer, answer


def _list(scene: Scene, rng: random.Random) -> Made:
    if rng.random() < _ABSENT:
        return {"xs": BY_NAME[_absent(scene, rng)].plural}, "none", "none"
    counts = Counter(o.category for o in scene.objects)
    name = rng.choice([counts.most_common(1)[0][0], *sorted(counts)])
    things = sorted((o for o in scene.objects if o.category == name), key=lambda o: o.center)
    clear = all(b.center[0] - a.center[0] >= NEAR for a, b in zip(things, things[1:], strict=False))
    if not clear or any(o.place_margin < NEAR for o in things):
        return None
    text = ", ".join(f"{o.size} {o.place}" for o in things)
    return {"xs": BY_NAME[name].plural}, text, text


def _read(scene: Scene, rng: random.Random) -> Made:
    if scene.sign is None:
        return ({}, NOTHING, NOTHING) if rng.random() < _ABSENT else None
    return {}, scene.sign.text, scene.sign.text


def _sign_place(scene: Scene, rng: random.Random) -> Made:
    if scene.sign is None or scene.sign.place_margin < MARGIN:
        return None
    answer = f"the {scene.sign.place}"
    return {"x": "sign", "template": "place"}, answer, answer


_MAKERS: dict[str, Callable[[Scene, random.Random], Made]] = {
    "many": _many,
    "more": _more,
    "larger": _larger,
    "further": _further,
    "list": _list,
    "read": _read,
    "sign-place": _sign_place,
}
KINDS = tuple(_MAKERS)
OF_SEVERAL = ("many", "more", "list")  # kinds that want scenes with several things of a category
OF_SIGNS = ("read", "sign-place")  # kinds that want a sign
#: How often each kind is asked in the last stage, relative to the others.
WEIGHTS = {
    **{kind: 0.8 * weight for kind, weight in first.WEIGHTS.items()},
    "many": 2.6,
    "more": 1.2,
    "larger": 1.2,
    "further": 1.4,
    "list": 2.0,
    "read": 1.2,
    "sign-place": 0.3,
}


def questions(scene: Scene, count: int, rng: random.Random) -> list[Question]:
    """As `questions.questions`, with the kinds and weights of here."""
    return first.questions(scene, count, rng, ask, WEIGHTS)
