"""Referring expressions: what they fit is worked out by hand, and what is generated is never ambiguous."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from lynx_cl.data.refer import KINDS, MARGIN, Expression, candidates, phrase, propose, refers, resolve
from lynx_cl.data.scenes import SIDE, Scene, SceneObject, make_scene


def thing(category: str, x: float, y: float, size: str = "small") -> SceneObject:
    """An object of 10 x 10 pixels around (x, y)."""
    return SceneObject(category, size, 10, int(x) - 5, int(y) - 5, False, (x - 5, y - 5, x + 5, y + 5))


def scene(*objects: SceneObject) -> Scene:
    return Scene("train", 0, 0, "green", objects)


ROW = scene(thing("dog", 10, 10), thing("dog", 40, 12, "large"), thing("dog", 80, 80), thing("cat", 44, 80))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (Expression("dog"), {0, 1, 2}),
        (Expression("cat"), {3}),
        (Expression("animal"), {0, 1, 2, 3}),
        (Expression("bus"), set()),
        (Expression("dog", size="large"), {1}),
        (Expression("thing", size="small"), {0, 2, 3}),
        (Expression("dog", place="top left"), {0}),
        (Expression("object", place="bottom center"), {3}),
        (Expression("dog", side="left", rank=1), {0}),
        (Expression("dog", side="left", rank=2), {1}),
        (Expression("dog", side="right", rank=1), {2}),
        (Expression("thing", side="right", rank=2), {3}),
        (Expression("dog", side="bottom", rank=1), {2}),
        (Expression("dog", relation="right of", anchor=Expression("cat")), {2}),
        (Expression("dog", relation="left of", anchor=Expression("cat")), {0, 1}),
        (Expression("dog", relation="above", anchor=Expression("cat")), {0, 1}),
        (Expression("dog", relation="next to", anchor=Expression("cat")), {2}),
        (Expression("cat", relation="next to", anchor=Expression("dog")), set()),  # which dog?
    ],
)
def test_refers_by_hand(expression, expected):
    assert refers(expression, ROW) == expected


def test_a_reading_within_the_margin_is_ambiguous():
    close = Expression("dog", side="left", rank=1)
    assert resolve(close, scene(thing("dog", 40, 10), thing("dog", 40 + 2 * MARGIN, 60))) is None
    assert resolve(close, scene(thing("dog", 40, 10), thing("dog", 41 + 2 * MARGIN, 60))) == 0
    left = Expression("dog", place="top left")
    assert resolve(left, scene(thing("dog", SIDE / 3 - MARGIN - 1, 10))) == 0
    assert resolve(left, scene(thing("dog", SIDE / 3 - MARGIN + 1, 10))) is None
    assert resolve(left, scene(thing("dog", 10, 10), thing("dog", SIDE / 3 + MARGIN - 1, 10))) is None


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_proposed_means_its_target_alone(kind):
    rng = random.Random(kind)
    made = 0
    for index in range(60):
        drawn = make_scene("train", 5, index)
        for target in range(len(drawn.objects)):
            expression = propose(kind, target, drawn, rng)
            if expression is None:
                continue
            made += 1
            assert expression.kind == kind
            for slack in (-MARGIN, -1.0, 0.0, 1.0, MARGIN):
                assert refers(expression, drawn, slack) == {target}
            assert target in candidates(expression, drawn)
            words = phrase(expression, rng)
            assert words == words.strip() and "  " not in words and "{" not in words
    assert made > 20


def test_words_say_every_part():
    rng = random.Random(0)
    expression = Expression("dog", size="small", relation="left of", anchor=Expression("cat"))
    seen = Counter(phrase(expression, rng) for _ in range(50))
    assert set(seen) == {"small dog left of the cat", "small dog to the left of the cat"}
    second = Expression("dog", side="left", rank=2)
    assert phrase(second, rng) == "second dog from the left"
    first = {phrase(Expression("dog", side="left", rank=1), rng) for _ in range(50)}
    assert first == {"leftmost dog", "first dog from the left"}
