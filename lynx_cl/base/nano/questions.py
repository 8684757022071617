"""What nano is pretrained on: image understanding in words, many questions a picture, never a coordinate.

Every question is asked only where its answer is unambiguous in the picture, with a margin in pixels.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lynx_cl.base.nano.clear import MARGIN, nearest, single
from lynx_cl.base.nano.phrasings import TEMPLATES, vary
from lynx_cl.data import refer
from lynx_cl.data.scenes.categories import COCO
from lynx_cl.data.scenes.scene import Scene, SceneObject


@dataclass(frozen=True)
class Question:
    """One turn: its kind ('presence', 'size', ...), what is asked and the full answer.

    `expected` is what an answer must begin with to be right, in lower case; `template` what the question was made of.
    """

    kind: str
    question: str
    answer: str
    expected: str
    template: str = ""


#: Fields of a phrasing (and the key of its templates, where it is not the kind), answer, expected start of an answer.
Made = tuple[dict[str, str], str, str] | None
_NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight")


def article(name: str) -> str:
    """'a dog', 'an apple', 'skis'."""
    if name in ("skis", "scissors", "broccoli"):
        return name
    return ("an " if name[0] in "aeiou" else "a ") + name


def phrase(thing: SceneObject) -> str:
    """'a small dog'."""
    plural = thing.category in ("skis", "scissors", "broccoli")
    return f"{thing.size} {thing.category}" if plural else f"a {thing.size} {thing.category}"


def caption(scene: Scene) -> str:
    """Every object with its size, from left to right by centre."""
    return ", ".join(phrase(o) for o in sorted(scene.objects, key=lambda o: o.center))


def ask(kind: str, scene: Scene, rng: random.Random, stray: bool = True) -> Question | None:
    """One question of a kind about a scene, or None where none is unambiguous.

    `stray` puts words before some questions that do not belong there, so that nano learns to look past them.
    """
    return put(kind, _MAKERS[kind](scene, rng), rng, stray)


def put(kind: str, made: Made, rng: random.Random, stray: bool) -> Question | None:
    """A question in words: what a kind's maker found out, in one of the kind's phrasings. None stays None."""
    if made is None:
        return None
    fields, answer, expected = made
    template = rng.choice(TEMPLATES[fields.pop("template", kind)])
    text = template.format(**fields)
    return Question(kind, vary(text, rng, stray), answer, expected, template)


def _caption(scene: Scene, rng: random.Random) -> Made:
    text = caption(scene)
    return {}, text, text


def _describe(scene: Scene, rng: random.Random) -> Made:
    things = [o for o in single(scene) if o.place_margin >= MARGIN]
    if not things:
        return None
    thing = rng.choice(things)
    text = f"{phrase(thing)} in the {thing.place}"
    neighbour = nearest(thing, scene)
    if neighbour is not None:
        text += f", next to the {neighbour.category}"
    return {"x": thing.category}, text, text


def _presence(scene: Scene, rng: random.Random) -> Made:
    present = sorted({o.category for o in scene.objects})
    if rng.random() < 0.5:
        name = rng.choice(present)
        alone = [o for o in single(scene) if o.category == name]
        answer = f"yes, {phrase(alone[0])}" if alone else "yes, more than one"
        return {"a": article(name)}, answer, "yes"
    name = rng.choice([c.name for c in COCO if c.name not in present])
    return {"a": article(name)}, "no", "no"


def _size(scene: Scene, rng: random.Random) -> Made:
    things = single(scene)
    if not things:
        return None
    thing = rng.choice(things)
    return {"x": thing.category}, thing.size, thing.size


def _place(scene: Scene, rng: random.Random) -> Made:
    things = [o for o in single(scene) if o.place_margin >= MARGIN]
    if not things:
        return None
    thing = rng.choice(things)
    return {"x": thing.category}, f"the {thing.place}", f"the {thing.place}"


def _at(scene: Scene, rng: random.Random) -> Made:
    places = Counter(o.place for o in scene.objects)
    things = [o for o in scene.objects if places[o.place] == 1 and o.place_margin >= MARGIN]
    things = [o for o in things if not any(q is not o and _reaches(q, o.place) for q in scene.objects)]
    if not things:
        return None
    thing = rng.choice(things)
    return {"p": thing.place}, phrase(thing), phrase(thing)


def _reaches(thing: SceneObject, place: str) -> bool:
    """Whether an object's centre lies within MARGIN of a part of the picture."""
    from lynx_cl.data.scenes.places import COLUMNS, ROWS, SIDE

    row, column = place.split()
    x, y = thing.center
    third = SIDE / 3
    left, top = COLUMNS.index(column) * third, ROWS.index(row) * third
    return left - MARGIN < x < left + third + MARGIN and top - MARGIN < y < top + third + MARGIN


def _next(scene: Scene, rng: random.Random) -> Made:
    things = [(o, nearest(o, scene)) for o in single(scene)]
    things = [(o, n) for o, n in things if n is not None]
    if not things:
        return None
    thing, neighbour = rng.choice(things)
    assert neighbour is not None
    return {"x": thing.category}, f"the {neighbour.category}", f"the {neighbour.category}"


def _relation(scene: Scene, rng: random.Random) -> Made:
    pairs = []
    alone = single(scene)
    for a in alone:
        for b in alone:
            if a is b:
                continue
            dx, dy = a.center[0] - b.center[0], a.center[1] - b.center[1]
            if abs(dx) >= 2 * MARGIN:
                pairs.append((a, b, "relation-x", "left" if dx < 0 else "right"))
            if abs(dy) >= 2 * MARGIN:
                pairs.append((a, b, "relation-y", "above" if dy < 0 else "below"))
    if not pairs:
        return None
    a, b, axis, answer = rng.choice(pairs)
    return {"x": a.category, "y": b.category, "template": axis}, answer, answer


def _count(scene: Scene, rng: random.Random) -> Made:
    word = _NUMBER_WORDS[len(scene.objects)]
    return {}, word, word


def _odd(scene: Scene, rng: random.Random) -> Made:
    counts = Counter(o.category for o in scene.objects).most_common()
    if len(counts) != 2 or counts[0][1] < 2 or counts[1][1] != 1:
        return None
    return {}, f"the {counts[1][0]}", f"the {counts[1][0]}"


def _ground(scene: Scene, rng: random.Random) -> Made:
    return {}, scene.ground, scene.ground


def _kind(scene: Scene, rng: random.Random) -> Made:
    counts = Counter(o.supercategory for o in scene.objects)
    things = [o for o in scene.objects if counts[o.supercategory] == 1 and o.supercategory in refer.GROUPS]
    if not things:
        return None
    thing = rng.choice(things)
    return {"s": refer.GROUPS[thing.supercategory]}, phrase(thing), phrase(thing)


def _which(scene: Scene, rng: random.Random) -> Made:
    """What a referring expression means: named where it does not say the category, described where it does."""
    kind = rng.choices(tuple(_WHICH), tuple(_WHICH.values()))[0]
    expression = refer.propose(kind, rng.randrange(len(scene.objects)), scene, rng)
    if expression is None:
        return None
    (index,) = refer.refers(expression, scene)
    thing = scene.objects[index]
    if expression.head != thing.category:
        answer = phrase(thing)
        return {"e": refer.phrase(expression, rng), "template": "which"}, answer, answer
    known = {"size": expression.size, "place": expression.place}
    asked = rng.choice([key for key, value in known.items() if not value])
    if asked == "place" and thing.place_margin < MARGIN:
        return None
    answer = thing.size if asked == "size" else f"the {thing.place}"
    return {"x": refer.phrase(expression, rng), "template": asked}, answer, answer


_MAKERS: dict[str, Callable[[Scene, random.Random], Made]] = {
    "caption": _caption,
    "describe": _describe,
    "presence": _presence,
    "size": _size,
    "place": _place,
    "at": _at,
    "next": _next,
    "relation": _relation,
    "count": _count,
    "odd": _odd,
    "ground": _ground,
    "kind": _kind,
    "which": _which,
}
KINDS = tuple(_MAKERS)
#: How often each kind is asked in pretraining, relative to the others.
WEIGHTS = {
    "caption": 1.5,
    "describe": 2.0,
    "presence": 1.2,
    "size": 0.6,
    "place": 0.6,
    "at": 2.0,
    "next": 3.0,
    "relation": 1.2,
    "count": 0.6,
    "odd": 0.8,
    "ground": 0.2,
    "kind": 0.8,
    "which": 3.0,
}
#: By what kinds of referring expression `which` asks, relative to each other.
_WHICH = {"order": 3.0, "relation": 3.0, "size": 1.0, "place": 1.0}


def drill(rng: random.Random) -> Question:
    """A question about numbers alone, so that number words have an order before any task needs one."""
    n = rng.randint(0, 99)
    style = rng.randrange(4)
    if style == 0:
        run = [str(v) for v in range(n, min(100, n + 5))]
        return Question("number", f"Count on from {n}.", " ".join(run), run[0])
    if style == 1:
        m = rng.randint(0, 99)
        return Question("number", f"Which is larger, {n} or {m}?", str(max(n, m)), str(max(n, m)))
    if style == 2:
        m = min(99, n + rng.randint(2, 20))
        return Question("number", f"What lies half way between {n} and {m}?", str((n + m) // 2), str((n + m) // 2))
    m = rng.randint(0, 99)
    return Question("number", f"Which is smaller, {n} or {m}?", str(min(n, m)), str(min(n, m)))


def questions(
    scene: Scene,
    count: int,
    rng: random.Random,
    ask: Callable[[str, Scene, random.Random], Question | None] = ask,
    weights: Mapping[str, float] = WEIGHTS,
) -> list[Question]:
    """`count` questions about one scene, kinds drawn by `weights`, unanswerable ones left out and drawn again."""
    asked: list[Question] = []
    kinds = list(weights)
    for _ in range(6 * count):
        if len(asked) == count:
            break
        made = ask(rng.choices(kinds, tuple(weights.values()))[0], scene, rng)
        if made is not None and all(made.question != other.question for other in asked):
            asked.append(made)
    return asked
