"""Kinds of task about drawn scenes: every answer is true of the scene, read off it in another way than it was made."""

from __future__ import annotations

import importlib
import re
from collections import Counter

import pytest

from lynx_cl.data.built import build
from lynx_cl.data.kinds import kinds
from lynx_cl.data.scenes import COCO, SIDE
from lynx_cl.data.sources import open_source
from lynx_cl.errors import LynxError
from lynx_cl.tasks import load_card
from tests.data.folders import small_voc

NEW = ("comparison", "detection", "grounded-caption", "reading", "region-naming", "spatial")
PLURALS = {category.plural: category.name for category in COCO}
NAMES = "|".join(sorted({c.name for c in COCO} | set(PLURALS), key=len, reverse=True))


def source(name, limit=250, seed=0):
    return open_source("scenes", load_card(name), seed=seed, limit=limit)


@pytest.fixture(scope="module")
def examples():
    made = {name: source(name) for name in NEW}
    return {name: {split: list(one.examples(split)) for split in one.splits} for name, one in made.items()}


def named(example):
    """The things that a prompt names, in its order."""
    return re.findall(rf"(?<![a-z])({NAMES})(?![a-z])", example.prompt)


def only(scene, category):
    (thing,) = (thing for thing in scene.objects if thing.category == category)
    return thing


@pytest.mark.parametrize("name", NEW)
def test_there_are_examples_of_every_split_and_their_phrasings_stay_apart(examples, name):
    card = load_card(name)
    for split, own in examples[name].items():
        phrasings = card.prompts.test if split == "test" else card.prompts.train
        assert len(own) > 100 and {example.phrasing for example in own} <= set(phrasings)
    assert not {e.image_key for e in examples[name]["train"]} & {e.image_key for e in examples[name]["test"]}


@pytest.mark.parametrize("name", NEW)
def test_the_same_arguments_give_the_same_examples(examples, name):
    def facts(made):
        return [(e.prompt, e.steps, e.image_key) for e in made]

    again = source(name)
    assert facts(again.examples("test")) == facts(examples[name]["test"])
    assert facts(source(name, seed=1).examples("test")) != facts(examples[name]["test"])


def test_detection_lists_what_the_scene_holds(examples):
    kinds_seen = Counter()
    for example in examples["detection"]["test"]:
        scene, answer = example.image.scene, example.steps[0].answer
        things = sorted(scene.objects, key=lambda o: o.center)
        if "objects" not in example.prompt and "things" not in example.prompt:
            things = [o for o in things if o.category == PLURALS[named(example)[0]]]
        expected = "; ".join(
            f"{o.category}: left {int(o.box[0] / SIDE * 100)} top {int(o.box[1] / SIDE * 100)} " for o in things
        )
        written = re.sub(r"right \d+ bottom \d+", "", answer)
        assert written == (expected or "none")
        kinds_seen[example.kind] += 1
    assert set(kinds_seen) == {"all", "label", "none"}


def test_reading_is_what_the_sign_says_and_signs_are_shown(examples):
    for example in examples["reading"]["test"]:
        sign = example.image.scene.sign
        assert example.steps[0].answer == sign.text
        x0, y0, x1, y1 = (int(v) for v in sign.box)
        plain = example.image.scene.pixels()[y0:y1, x0:x1].reshape(-1, 3)
        assert (plain.max(1) < 60).mean() > 0.15  # ink
    assert {example.kind for example in examples["reading"]["test"]} == {"word", "number"}


def test_spatial_relations_hold(examples):
    said = Counter()
    for example in examples["spatial"]["test"]:
        first, second = named(example)
        if example.phrasing.index("{y}") < example.phrasing.index("{x}"):
            first, second = second, first
        a, b = (only(example.image.scene, name).center for name in (first, second))
        answer = example.steps[0].answer.split()
        assert ("left" in answer) == (a[0] <= b[0] - 8) and ("right" in answer) == (a[0] >= b[0] + 8)
        assert ("above" in answer) == (a[1] <= b[1] - 8) and ("below" in answer) == (a[1] >= b[1] + 8)
        said[example.steps[0].answer] += 1
    assert len(said) == 8


def test_a_named_region_holds_the_thing(examples):
    for example in examples["region-naming"]["test"]:
        left, top, right, bottom = (int(n) / 100 * SIDE for n in re.findall(r"\d+", example.prompt))
        inside = [
            o
            for o in example.image.scene.objects
            if left - 1 <= o.center[0] <= right + 1 and top - 1 <= o.center[1] <= bottom + 1
        ]
        assert example.steps[0].answer in {o.category for o in inside}


def test_grounded_captions_say_sizes_as_the_scene_does(examples):
    wrong = total = 0
    for example in examples["grounded-caption"]["test"]:
        things = sorted(example.image.scene.objects, key=lambda o: o.center)
        said = re.findall(r"(\w+) [a-z ]+: left", example.steps[0].answer)
        assert len(said) == len(things)
        total += len(said)
        wrong += sum(word != o.size for word, o in zip(said, things, strict=True))
    assert wrong < 0.02 * total  # a thing that is partly covered looks smaller than it is


def test_comparisons_hold(examples):
    for example in examples["comparison"]["test"]:
        scene, answer = example.image.scene, example.steps[0].answer.removeprefix("the ")
        pair = set(named(example))
        (other,) = pair - {answer}
        assert answer in pair
        text = example.prompt
        if example.kind == "number":
            more, less = (sum(o.category == PLURALS[name] for o in scene.objects) for name in (answer, other))
            assert more > less if "more numerous" in text else more < less
            continue
        a, b = only(scene, answer), only(scene, other)
        if example.kind == "place":
            axis, sign = {"left": (0, -1), "right": (0, 1), "up": (1, -1), "down": (1, 1)}[
                re.search(r"further (\w+)", text)[1]
            ]
            assert sign * (a.center[axis] - b.center[axis]) >= 8
        else:
            sides = [max(o.box[2] - o.box[0], o.box[3] - o.box[1]) for o in (a, b)]
            assert sides[0] > sides[1] if "larger" in text else sides[0] < sides[1]


def test_a_set_in_which_nothing_is_written_cannot_be_read(tmp_path):
    with pytest.raises(LynxError, match="no example for task 'reading' in split 'train'"):
        open_source(f"voc:{small_voc(tmp_path / 'voc')}", load_card("reading"))


def test_photographs_are_asked_about_as_scenes_are(tmp_path):
    made = open_source(f"voc:{small_voc(tmp_path / 'voc')}", load_card("detection"))
    asked = {example.steps[0].answer for example in made.examples("test")}
    assert "wbc: left 0 top 0 right 50 bottom 50; rbc: left 50 top 50 right 99 bottom 99" in asked


def test_every_kind_has_its_scores():
    for name, kind in kinds().items():
        if kind.own_words:  # tests/evaluation/test_instruct.py
            continue
        scoring = importlib.import_module(f"lynx_cl.evaluation.{name.replace('-', '_')}")
        own = list(source(name, 60).examples("test"))
        grammar = load_card(name).box_grammar()
        right = scoring.score(own, [example.steps[0].answer for example in own], grammar)
        wrong = scoring.score(own, ["a giraffe and a giraffe"] * len(own), grammar)
        for metric in kind.metrics:
            assert right[metric] > 0.9 and wrong[metric] == 0.0


def test_a_built_scene_with_a_sign_is_the_same_picture(tmp_path):
    made = source("reading", 20)
    again = open_source(f"built:{build(made, tmp_path)}", load_card("reading"))
    pairs = zip(made.examples("test"), again.examples("test"), strict=True)
    assert all(a.image.scene == b.image.scene and a.prompt == b.prompt for a, b in pairs)
