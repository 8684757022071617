"""Composed requests: true in their scenes, in no doubt, split into requests for one bank each, asked nowhere else."""

from __future__ import annotations

from collections import Counter

import pytest

from lynx_cl.continual.clauses import split_request
from lynx_cl.data.composed import COUNTING, PHRASINGS, START, WORDS, ComposedExample, composed_examples, meant
from lynx_cl.data.example import to_pixels
from lynx_cl.data.refer import MARGIN
from lynx_cl.data.scenes import BY_NAME, SIDE, make_scene
from lynx_cl.data.sources import open_source
from lynx_cl.data.understanding import understanding
from lynx_cl.tasks import load_card

AXES = {"leftmost": (0, 1), "rightmost": (0, -1), "topmost": (1, 1), "lowest": (1, -1)}


@pytest.fixture(scope="module")
def examples() -> tuple[ComposedExample, ...]:
    return composed_examples(len(WORDS) * len(PHRASINGS) * 2)


def test_the_number_and_the_box_are_what_the_scene_holds(examples: tuple[ComposedExample, ...]) -> None:
    for example in examples:
        held = [o for o in example.image.scene.objects if o.category == example.label]
        assert example.number == len(held) > 1
        (target,) = [o for o in held if o.box == pytest.approx(to_pixels(example.box, (SIDE, SIDE)))]
        others = [o for o in held if o is not target]
        if example.word in AXES:
            axis, sign = AXES[example.word]
            clear = min(sign * (o.center[axis] - target.center[axis]) for o in others)
            assert clear >= 2 * MARGIN
        elif example.word == "smallest":
            assert target.long_side < min(o.long_side for o in others) - 5
        else:
            assert target.long_side > max(o.long_side for o in others) + 5


def test_a_word_that_two_things_fit_is_not_asked() -> None:
    doubtful = 0
    for index in range(400):
        scene = make_scene("test", 5, index)
        for label, number in Counter(o.category for o in scene.objects).items():
            sizes = Counter(o.size for o in scene.objects if o.category == label)
            if number > 1 and len(sizes) == 1:
                assert meant(label, "smallest", scene) is None and meant(label, "largest", scene) is None
                doubtful += 1
        assert meant("anchor", "smallest", scene) is None and meant("anchor", "leftmost", scene) is None
    assert doubtful > 10


def test_every_request_is_split_into_its_clauses(examples: tuple[ComposedExample, ...]) -> None:
    assert {(e.text, tuple(split_request(e.text))) for e in examples} == {(e.text, e.clauses) for e in examples}
    assert all(split_request(clause) == [clause] for e in examples for clause in e.clauses)


def test_every_phrasing_is_split_whatever_it_asks_about() -> None:
    for text, clauses in PHRASINGS:
        for category in BY_NAME.values():
            for word in WORDS:
                words = {"one": category.name, "many": category.plural, "word": word}
                assert split_request(text.format(**words)) == [clause.format(**words) for _, clause in clauses]


def test_each_clause_asks_what_its_task_answers(examples: tuple[ComposedExample, ...]) -> None:
    for example in examples:
        for task, clause in zip(example.tasks, example.clauses, strict=True):
            assert (BY_NAME[example.label].plural in clause) if task == COUNTING else (example.word in clause)
        assert sorted(example.tasks) == ["counting", "grounding"]


def test_words_and_phrasings_are_asked_evenly(examples: tuple[ComposedExample, ...]) -> None:
    assert len(PHRASINGS) >= 8
    assert set(Counter(e.word for e in examples).values()) == {2 * len(PHRASINGS)}
    assert len(Counter(e.number for e in examples)) >= 3


def test_scenes_are_asked_about_once_and_by_nobody_else(examples: tuple[ComposedExample, ...]) -> None:
    keys = [example.image.scene.key for example in examples]
    assert len(set(keys)) == len(keys) and all(START <= e.image.index < 2 * START for e in examples)
    others = {example.image_key for example in understanding("test", 400)}
    for name in ("grounding", "counting"):
        card = load_card(name)
        source = open_source(card.source, card, seed=0, limit=None)
        others |= {example.image_key for example in source.examples("test")}
    assert not others & set(keys)


def test_the_same_arguments_give_the_same_examples() -> None:
    assert composed_examples(12) == composed_examples(24)[:12] != composed_examples(12, seed=1)
