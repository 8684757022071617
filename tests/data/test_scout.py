"""SCouT: chains are true, splits keep apart, and the mixture is the one that the card asks for."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from lynx_cl.base.nano.questions import TEMPLATES
from lynx_cl.data.example import Picture, Provenance
from lynx_cl.data.grammar import GRAMMARS
from lynx_cl.data.scenes import make_scene
from lynx_cl.data.scout import CHAINS, EACH, SceneOracle
from lynx_cl.data.sources import open_source
from lynx_cl.errors import LynxError
from lynx_cl.tasks import load_card

KEYED = GRAMMARS["keyed"]
CARD = load_card("grounding")


@pytest.fixture(scope="module")
def source():
    return open_source("scout", CARD, seed=3, limit=150)


def near(a, b):
    return all(abs(x - y) <= 0.0151 for x, y in zip(a, b, strict=True))


def test_every_answer_is_the_box_of_a_true_object(source):
    for example in source.examples("train"):
        index = int(example.image_key.rsplit("/", 1)[1]) - (1 << 32)
        boxes = [tuple(v / 96 for v in thing.box) for thing in make_scene("train", 3, index).objects]
        assert example.targets[0].box in boxes
        ((label, box),) = KEYED.parse(example.steps[-1].answer)
        assert label is None and near(box, example.targets[0].box)


def test_chains_go_from_what_to_where_to_the_answer(source):
    chains = [e for e in source.examples("train") if len(e.steps) > 1]
    assert chains
    for example in chains:
        relevant, where, answer = example.steps
        assert [step.name for step in example.steps] == ["relevant", "where", "answer"]
        places = KEYED.parse(where.answer)
        assert relevant.answer.split(", ") == list(dict.fromkeys(label for label, _ in places))
        assert KEYED.parse(answer.answer)[0][1] in [box for _, box in places]
        assert (relevant.weight, where.weight, answer.weight) == (0.5, 1.0, 1.0)
    direct = [e for e in source.examples("train") if len(e.steps) == 1]
    assert 0.10 < len(chains) / (len(chains) + len(direct)) < 0.20  # the card says 0.15


def test_the_mixture_is_mostly_categories_alone(source):
    kinds = Counter(e.kind for e in source.examples("train"))
    total = sum(kinds.values())
    assert 0.48 < kinds["category"] / total < 0.62
    assert set(kinds) == {"category", "group", "size", "place", "order", "relation"}
    assert all(count / total > 0.02 for count in kinds.values())


def test_a_group_is_about_one_picture_and_asks_nothing_twice(source):
    for group in source.groups("train"):
        assert 0 < len(group) <= CHAINS
        assert len({e.image_key for e in group}) == 1
        assert len({e.prompt for e in group}) == len(group)
        things = len(make_scene("train", 3, int(group[0].image_key.rsplit("/", 1)[1]) - (1 << 32)).objects)
        assert len(group) <= EACH * things


def test_a_scene_about_which_nothing_can_be_asked_is_passed_over():
    order = CARD.model_copy(update={"expressions": {"order": 1.0}})  # asks for two things at least
    keys = [group[0].image_key for group in open_source("scout", order, limit=60).groups("test")]
    assert len(set(keys)) == len(keys) == 60
    passed_over = [key for key in keys if int(key.rsplit("/", 1)[1]) - (3 << 32) >= 60]
    assert 0 < len(passed_over) < 40


def test_the_test_split_is_asked_once_and_in_words_never_trained_on(source):
    train = {template.format(x="X") for template in CARD.prompts.train}
    for example in source.examples("test"):
        assert len(example.steps) == 1
        assert any(_fits(template, example.prompt) for template in CARD.prompts.test)
    assert not train & {template.format(x="X") for template in CARD.prompts.test}
    keys = [{group[0].image_key for group in source.groups(split)} for split in ("train", "calibration", "test")]
    assert not keys[0] & keys[1] and not keys[0] & keys[2] and not keys[1] & keys[2]


def _fits(template: str, prompt: str) -> bool:
    before, after = template.split("{x}")
    return prompt.startswith(before) and prompt.endswith(after)


def test_no_phrasing_is_one_of_the_bases_own_questions():
    own = {text.lower().rstrip("?.") for texts in TEMPLATES.values() for text in texts}
    for phrasing in (*CARD.prompts.train, *CARD.prompts.test):
        assert phrasing.format(x="the {x}").lower().rstrip("?.") not in own
    assert len(CARD.prompts.train) + len(CARD.prompts.test) >= 60 and len(CARD.prompts.test) >= 20


def test_same_arguments_same_examples_and_digest():
    once, again, other = (open_source("scout", CARD, seed=seed, limit=5) for seed in (1, 1, 2))
    assert [e.steps for e in once.examples("train")] == [e.steps for e in again.examples("train")]
    assert once.digest() == again.digest() != other.digest()
    assert once.summary()["pictures"] == {"train": 5, "calibration": 5, "test": 5}


def test_the_oracle_knows_scenes_only(tmp_path):
    picture = Picture("a", tmp_path / "a.png", (9, 9), (), Provenance("x", "y", "z"))
    with pytest.raises(LynxError, match="picture 'a' is no scene"):
        SceneOracle().annotate(picture, 3, random.Random(0))


def test_examples_do_not_depend_on_the_order_of_keys_in_the_card():
    """A card comes back from a registry with its keys sorted; its test must be the same."""
    card = load_card("grounding")
    turned = card.model_copy(update={"expressions": dict(reversed(list(card.expressions.items())))})
    first, second = open_source("scout", card), open_source("scout", turned)
    assert first.digest() == second.digest()
    for split in ("train", "test"):
        ours, theirs = ([e.steps for g in source.groups(split)[:20] for e in g] for source in (first, second))
        assert ours == theirs
