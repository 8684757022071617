"""Counting questions: true in the picture's own terms, fit to be learned from, the same every time."""

from __future__ import annotations

from collections import Counter

import pytest

from lynx_cl.data.scenes.categories import COCO
from lynx_cl.data.sources import open_source
from lynx_cl.data.words import NUMBERS, number_word, plural, read_number
from lynx_cl.errors import UsageError
from lynx_cl.tasks import load_card

CARD = load_card("counting")


def source(limit=400, seed=0):
    return open_source("scenes", CARD, seed=seed, limit=limit)


@pytest.fixture(scope="module")
def examples():
    made = source()
    return {split: list(made.examples(split)) for split in ("train", "calibration", "test")}


def test_answers_are_what_the_scene_holds(examples):
    names = {category.plural: category.name for category in COCO}
    for example in examples["test"]:
        scene = example.image.scene
        asked = next(name for name in sorted(names, key=len, reverse=True) if f" {name}" in example.prompt)
        held = sum(thing.category == names[asked] for thing in scene.objects)
        assert example.steps[0].answer == NUMBERS[held] and len(example.targets) == held
        assert example.kind == ("none" if held == 0 else "one" if held == 1 else "several")


def test_no_answer_is_most_of_them(examples):
    answers = Counter(example.steps[0].answer for example in examples["train"])
    assert max(answers.values()) < 0.55 * sum(answers.values())
    assert answers["none"] > 0.05 * sum(answers.values()) and answers["three"] > 0


def test_phrasings_of_the_test_are_never_trained_on(examples):
    def asked(split):
        return {example.prompt for example in examples[split]}

    def possible(phrasings):
        return {phrasing.format(x=category.plural) for phrasing in phrasings for category in COCO}

    held_out, taught = possible(CARD.prompts.test), possible(CARD.prompts.train)
    assert not held_out & taught
    assert asked("test") <= held_out and asked("train") | asked("calibration") <= taught


def test_the_same_arguments_give_the_same_examples():
    def facts(made):
        return [(e.prompt, e.steps, e.image_key) for e in made.examples("test")]

    assert facts(source(40)) == facts(source(40)) != facts(source(40, seed=1))
    assert source(40).digest() == source(40).digest() != source(40, seed=1).digest()


def test_scout_teaches_no_counting():
    with pytest.raises(UsageError, match="is of kind counting, for which scenes"):
        open_source("scout", CARD)


@pytest.mark.parametrize("number", [0, 1, 7, 20, 21, 100])
def test_numbers_come_back_from_their_words(number):
    assert read_number(number_word(number)) == number


def test_plurals_are_told_apart():
    assert len({plural(c.name) for c in COCO}) == len(COCO)
