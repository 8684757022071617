"""The further questions of nano's last stage are true of the picture, and hold no coordinate."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest

from lynx_cl.base.nano.questions import MARGIN
from lynx_cl.base.nano.stages import draw_wider_scenes
from lynx_cl.base.nano.wider_questions import KINDS, NOTHING, WEIGHTS, ask, questions
from lynx_cl.data.scenes import COCO
from lynx_cl.data.words import NUMBERS

PLURALS = {category.plural: category.name for category in COCO}
NAMES = "|".join(sorted({c.name for c in COCO} | set(PLURALS), key=len, reverse=True))
SCENES = draw_wider_scenes("train", 0, 240, 0.5)


def asked(kind):
    rng = random.Random(kind)
    for scene in SCENES:
        made = ask(kind, scene, rng, stray=False)
        if made is not None:
            yield scene, made, re.findall(rf"(?<![a-z])({NAMES})(?![a-z])", made.question.lower())


def test_counts_of_one_kind():
    seen = Counter()
    for scene, made, names in asked("many"):
        size = re.search(r"\b(small|medium|large) ", made.question.lower())
        held = [o for o in scene.objects if o.category == PLURALS[names[0]] and (not size or o.size == size[1])]
        assert made.answer == NUMBERS[len(held)]
        seen[made.answer] += 1
    assert set(seen) == set(NUMBERS[:7])


def test_which_of_two_kinds_there_are_more_of():
    for scene, made, names in asked("more"):
        counts = [sum(o.category == PLURALS[name] for o in scene.objects) for name in names]
        expected = "as many" if counts[0] == counts[1] else f"the {names[counts.index(max(counts))]}"
        assert made.answer == expected and max(counts) > 0


def test_which_of_two_is_larger():
    sizes = ("small", "medium", "large")
    for scene, made, names in asked("larger"):
        own = {o.category: sizes.index(o.size) for o in scene.objects if o.category in names}
        best = (min if "smaller" in made.question.lower() else max)(own, key=own.get)
        assert made.answer == f"the {best}" and len(set(own.values())) == 2


def test_which_of_two_lies_further():
    for scene, made, names in asked("further"):
        way = re.search(r"\b(left|right|up|down)\b", made.question.lower())[1]
        axis, sign = {"left": (0, -1), "right": (0, 1), "up": (1, -1), "down": (1, 1)}[way]
        places = {o.category: sign * o.center[axis] for o in scene.objects if o.category in names}
        low, high = sorted(places, key=places.get)
        assert made.answer == f"the {high}" and places[high] - places[low] >= 2 * MARGIN


def test_lists_go_from_left_to_right():
    longest = 0
    for scene, made, names in asked("list"):
        things = [o for o in scene.objects if o.category == PLURALS[names[0]]]
        things.sort(key=lambda o: o.center[0])
        assert made.answer == (", ".join(f"{o.size} {o.place}" for o in things) or "none")
        longest = max(longest, len(things))
    assert longest >= 3


def test_signs_are_read_and_placed():
    said = [(scene, made) for scene, made, _ in asked("read")]
    assert all(made.answer == (scene.sign.text if scene.sign else NOTHING) for scene, made in said)
    assert {scene.sign is None for scene, _ in said} == {True, False}
    for scene, made, _ in asked("sign-place"):
        assert made.answer == f"the {scene.sign.place}"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "read"])
def test_no_answer_holds_a_number_in_digits(kind):
    found = [made.answer for _, made, _ in asked(kind)]
    assert len(found) > 20 and not any(re.search(r"\d", answer) for answer in found)


def test_the_last_stage_asks_the_first_kinds_too():
    rng = random.Random(0)
    kinds = Counter(one.kind for scene in SCENES for one in questions(scene, 10, rng))
    assert set(kinds) == set(WEIGHTS)
    assert kinds.total() > 8 * len(SCENES)
