"""What nano is asked in pretraining is true of the picture, and never holds a coordinate."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest

from lynx_cl.base.nano.questions import KINDS, MARGIN, ask, caption, drill, nearest, questions
from lynx_cl.data.scenes import make_scene


def asked(kind, count=150):
    rng = random.Random(kind)
    for index in range(count):
        scene = make_scene("train", 1, index)
        made = ask(kind, scene, rng)
        if made is not None:
            yield scene, made


@pytest.mark.parametrize("kind", KINDS)
def test_no_answer_holds_a_number_in_digits(kind):
    found = list(asked(kind))
    assert found
    assert not any(re.search(r"\d", made.answer) for _, made in found)


def test_presence():
    for scene, made in asked("presence"):
        text = " " + made.question.lower().rstrip("?.") + " "
        there = any(f" {o.category} " in text for o in scene.objects)
        assert made.expected == ("yes" if there else "no")


def test_relation():
    for scene, made in asked("relation"):
        names = [o for o in scene.objects if o.category in made.question.lower()]
        axis = 0 if made.answer in ("left", "right") else 1
        centres = sorted(o.center[axis] for o in names)
        assert len(centres) < 2 or centres[-1] - centres[0] >= 2 * MARGIN


def test_next_is_the_nearest_by_a_margin():
    for scene, made in asked("next"):
        things = [o for o in scene.objects if made.expected == f"the {o.category}"]
        assert any((n := nearest(o, scene)) is not None and n in things for o in scene.objects)


def test_count_and_odd():
    words = ("zero", "one", "two", "three", "four", "five", "six")
    assert all(words.index(made.answer) == len(scene.objects) for scene, made in asked("count"))
    for scene, made in asked("odd", 400):
        counts = Counter(o.category for o in scene.objects)
        assert counts[made.answer.removeprefix("the ")] == 1 and len(counts) == 2


def test_caption_goes_from_left_to_right():
    for index in range(40):
        scene = make_scene("train", 2, index)
        parts = caption(scene).split(", ")
        things = sorted(scene.objects, key=lambda o: o.center)
        assert len(parts) == len(things)
        assert all(part.endswith(f"{o.size} {o.category}") for part, o in zip(parts, things, strict=True))


def test_questions_about_one_scene_differ_and_repeat_with_the_seed():
    scene = make_scene("train", 3, 4)
    first = questions(scene, 8, random.Random(5))
    assert len({q.question for q in first}) == len(first) == 8
    assert first == questions(scene, 8, random.Random(5))


def test_number_drills_are_right():
    rng = random.Random(0)
    for _ in range(200):
        made = drill(rng)
        numbers = [int(n) for n in re.findall(r"\d+", made.question)]
        if "larger" in made.question:
            assert made.answer == str(max(numbers))
        elif "smaller" in made.question:
            assert made.answer == str(min(numbers))
