"""Things with confidences out of answers, and their scores: by hand, and against pycocotools called as its users do."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from lynx_cl.data.example import Picture, Provenance
from lynx_cl.data.grammar import GRAMMARS
from lynx_cl.evaluation.average_precision import Thing, coco_precision
from lynx_cl.evaluation.generate import Said
from lynx_cl.evaluation.localisation import asked_for, counted, found_things, localisation_scores

A, B = (0.0, 0.0, 0.5, 0.5), (0.5, 0.5, 1.0, 1.0)
KEYED = GRAMMARS["keyed"]


def spoken(*pieces: tuple[str, float]) -> Said:
    """An answer of these tokens, each with its probability."""
    spans, text = [], ""
    for piece, _ in pieces:
        spans.append((len(text), len(text) + len(piece)))
        text += piece
    return Said(text, tuple(spans), tuple(math.log(p) for _, p in pieces))


def test_the_confidence_of_an_item_is_that_of_its_own_tokens() -> None:
    said = spoken(("dog: left 1 top 2", 0.9), (" right 3 bottom 4", 0.4), ("; ", 0.01), ("", 0.001), ("cat", 0.25))
    said = Said(said.text + ": left 1 top 2 right 3 bottom 4", (*said.spans, (39, 70)), (*said.logs, 0.0))
    things = found_things(said, KEYED)
    assert things is not None
    assert [one.label for one in things] == ["dog", "cat"]
    assert things[0].confidence == 0.6  # sqrt(0.9 * 0.4); the semicolon is no letter of it
    # the token with the semicolon reaches into the second item by its space, the empty one into none
    assert things[1].confidence == round((0.01 * 0.25 * 1.0) ** (1 / 3), 4)


def test_broken_items_take_no_others_with_them() -> None:
    text = "dog: left 1 top 2 right 3 bottom 4; cat: left 9 top 2 right 3 bottom 4; bird: left 1 top"
    things = found_things(spoken((text, 0.5)), KEYED)
    assert things is not None and [one.label for one in things] == ["dog"]
    assert found_things(spoken(("None.", 0.5)), KEYED) == []
    assert found_things(spoken(("I see a dog.", 0.5)), KEYED) is found_things(Said(""), KEYED) is None


def test_what_a_protocol_asks_for() -> None:
    picture = Picture("p1", Path("p1.png"), (10, 10), (), Provenance("", "", ""))
    names = ["bird", "cat", "dog", "tv"]
    assert asked_for(1, picture, names, {"dog"}, None) == [None]
    assert asked_for(3, picture, names, {"dog"}, None) == names
    assert asked_for(3, picture, names, {"dog"}, 0) == ["dog"]
    two = asked_for(3, picture, names, {"dog"}, 1)
    assert "dog" in two and len(two) == 2 and two == asked_for(3, picture, names, {"dog"}, 1)


def test_what_counts_as_an_answer() -> None:
    things = [Thing("dog", A, 0.5), Thing("", A, 0.4), Thing("tv", A, 0.3), Thing("animal", A, 0.2)]
    general = {"dog": "animal", "tv": "electronic"}
    assert counted(1, None, things, general) == things
    assert [one.confidence for one in counted(2, "animal", things, general)] == [0.5, 0.4, 0.2]
    assert counted(3, "dog", things, general) == [Thing("dog", A, 0.5), Thing("dog", A, 0.4)]


def test_average_precision_by_hand() -> None:
    """Two dogs, one of them found below a false alarm: precision 1/2 up to recall 1/2, so 51 of 101 points of 1/2."""
    true = [[Thing("dog", A)], [Thing("dog", B)]]
    first = [[Thing("dog", A, 0.4), Thing("dog", B, 0.9)], []]
    second = [[Thing("dog", A, 0.9), Thing("dog", B, 0.4)], []]
    sizes = [(640, 480)] * 2
    assert coco_precision(first, true, sizes)["map50"] == pytest.approx(51 / 101 / 2)
    assert coco_precision(second, true, sizes)["map50"] == pytest.approx(51 / 101)
    assert coco_precision(first, [[], []], sizes) == {"map": 0.0, "map50": 0.0, "map75": 0.0, "mar100": 0.0}


def test_average_precision_is_that_of_pycocotools() -> None:
    rng = random.Random(0)
    sizes = [(rng.randint(50, 640), rng.randint(50, 480)) for _ in range(20)]

    def box() -> tuple[float, float, float, float]:
        x, y = rng.random() * 0.6, rng.random() * 0.6
        return x, y, x + 0.1 + rng.random() * 0.3, y + 0.1 + rng.random() * 0.3

    def near(one: Thing) -> Thing:
        moved = [min(1.0, max(0.0, value + rng.uniform(-0.03, 0.03))) for value in one.box]
        return Thing(one.label, (moved[0], moved[1], moved[2], moved[3]), round(rng.random(), 4))

    true = [[Thing(rng.choice(("cat", "dog", "tv")), box()) for _ in range(rng.randint(0, 6))] for _ in sizes]
    false = [[Thing(rng.choice(("cat", "dog", "tv")), box(), round(rng.random(), 4))] for _ in sizes]
    found = [[*(near(one) for one in a if rng.random() < 0.8), *b] for a, b in zip(true, false, strict=True)]
    numbers = {"cat": 1, "dog": 2, "tv": 3}

    def written(lists: list[list[Thing]]) -> list[dict]:
        made = []
        for image, (things, (width, height)) in enumerate(zip(lists, sizes, strict=True), 1):
            for one in things:
                x, y, right, bottom = (v * s for v, s in zip(one.box, (width, height) * 2, strict=True))
                bbox = [x, y, right - x, bottom - y]
                made.append(
                    {"image_id": image, "category_id": numbers[one.label], "bbox": bbox, "score": one.confidence}
                )
        return made

    truth = COCO()
    truth.dataset = {
        "info": {},
        "images": [{"id": i, "width": w, "height": h} for i, (w, h) in enumerate(sizes, 1)],
        "categories": [{"id": number, "name": name} for name, number in numbers.items()],
        "annotations": [
            {**one, "id": i, "iscrowd": 0, "area": one["bbox"][2] * one["bbox"][3]}
            for i, one in enumerate(written(true), 1)
        ],
    }
    truth.createIndex()
    evaluation = COCOeval(truth, truth.loadRes(written(found)), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    scores = coco_precision(found, true, sizes)
    assert [scores[name] for name in ("map", "map50", "map75", "mar100")] == list(evaluation.stats[[0, 1, 2, 8]])
    assert 0.05 < scores["map"] < scores["map50"] < 0.95


def test_mean_iou_is_over_pictures_of_few_things() -> None:
    half = (0.0, 0.0, 0.5, 0.25)
    true = [[Thing("dog", A), Thing("cat", B)], [Thing("dog", A)] * 4, []]
    found = [[Thing("dog", half), Thing("dog", A), Thing("dog", B)], [Thing("dog", A)], [Thing("dog", A)]]
    scores = localisation_scores(found, true, [(10, 10)] * 3)
    assert scores["miou_few"] == 0.5  # the dog is found whole, the cat not at all
    assert scores["f1"] == pytest.approx(2 * 2 / (5 + 6))
    assert localisation_scores(found[1:], true[1:], [(10, 10)] * 2)["miou_few"] is None
    halved = localisation_scores([[Thing("dog", half)]], [[Thing("dog", A)]], [(10, 10)])
    assert halved["miou_few"] == 0.5 and halved["map50"] == pytest.approx(1.0)
    with pytest.raises(ValueError, match="no pictures"):
        localisation_scores([], [], [])
