"""Task cards: the shipped ones are sound, and every mistake in one is named by file and key or line."""

from __future__ import annotations

import pytest
import yaml

from lynx_cl.errors import UsageError
from lynx_cl.home import Home
from lynx_cl.tasks import KINDS, TaskCard, list_cards, load_card

PROMPTS = "train:\nFind {x}.\ntest:\nLocate {x}.\n"
CARD = {"name": "mine", "title": "Mine", "description": "Find it."}


def write(tmp_path, card=CARD, prompts=PROMPTS):
    folder = tmp_path / "tasks" / "mine"
    folder.mkdir(parents=True)
    (folder / "task.yaml").write_text(card if isinstance(card, str) else yaml.safe_dump(card))
    if prompts is not None:
        (folder / "prompts.txt").write_text(prompts)
    return folder


SHIPPED = [
    "cells",
    "comparison",
    "counting",
    "detection",
    "grounded-caption",
    "grounding",
    "reading",
    "region-naming",
    "spatial",
]


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_cards_keep_their_test_phrasings_apart(name):
    card = load_card(name)
    assert card.name == name and card.metric == KINDS[card.kind].metrics[0]
    train, test = ({text.lower() for text in part} for part in (card.prompts.train, card.prompts.test))
    assert not train & test
    assert len(train) >= 20 and len(test) >= 10


def test_a_card_says_the_same_after_it_was_stored():
    card = load_card("cells")
    again = TaskCard(**card.model_dump(mode="json"))
    assert again == card and again.digest() == card.digest()
    assert card.classes == {"WBC": "white blood cell"} and card.only_single


def test_a_homes_own_card_comes_before_the_shipped_one(tmp_path):
    folder = write(tmp_path)
    home = Home(tmp_path)
    assert load_card("mine", home).title == "Mine" == load_card(folder).title
    assert [card.name for card in list_cards(home)] == sorted([*SHIPPED, "instruct", "mine"])


def test_a_card_for_questions_that_the_data_says_needs_no_phrasings(tmp_path):
    card = load_card("instruct")
    assert card.prompts.train == card.prompts.test == ("{x}",) and card.metric == "accuracy"
    mine = load_card(write(tmp_path, {**CARD, "kind": "instruct", "metric": "vqa_accuracy"}, prompts=None))
    assert mine.metric == "vqa_accuracy" and mine.prompts == card.prompts
    own = load_card(write(tmp_path / "b", {**CARD, "kind": "instruct"}, "train:\nQ: {x}\ntest:\nAsk: {x}\n"))
    assert own.prompts.train == ("Q: {x}",)


def test_an_unknown_name_says_which_there_are():
    with pytest.raises(UsageError, match="task 'grouding' is unknown; .*grounding"):
        load_card("grouding")


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ({**CARD, "colour": "red"}, r"task\.yaml: key 'colour' is unknown; known: .*title"),
        ({"name": "mine", "title": "Mine"}, r"task\.yaml: key 'description' is missing"),
        ({**CARD, "name": "other"}, r"task\.yaml: name = 'other': must be the folder's name, 'mine'"),
        ({**CARD, "name": "Mine!"}, r"task\.yaml: name = 'Mine!'"),
        ({**CARD, "kind": "drawing"}, r"task\.yaml: kind = 'drawing': unknown; known: comparison, counting"),
        ({**CARD, "metric": "bleu"}, r"task\.yaml: metric = 'bleu': unknown; known: acc_iou50"),
        ({**CARD, "kind": "counting", "metric": "mean_iou"}, r"metric = 'mean_iou': unknown; known: accuracy"),
        ({**CARD, "kind": "counting", "views": 3}, r"key 'views' is for tasks of kind grounding, this one is of kind"),
        (
            {**CARD, "absent": 0.5},
            r"key 'absent' is for tasks of kind counting or detection, this one is of",
        ),
        ({**CARD, "grammar": "xml"}, r"task\.yaml: grammar = 'xml': unknown; known: keyed"),
        ({**CARD, "chains": 2}, r"task\.yaml: chains = 2"),
        ({**CARD, "chains": 0.5}, r"task\.yaml: chains = 0\.5: needs sections relevant:"),
        ({**CARD, "only_single": "perhaps"}, r"task\.yaml: only_single = 'perhaps'"),
        ({**CARD, "classes": ["WBC"]}, r"task\.yaml: classes = \['WBC'\]"),
        ({**CARD, "expressions": {"colour": 1}}, r"expressions = .*'colour' is unknown; known: category"),
        ({**CARD, "expressions": {"size": -1}}, r"expressions = .*'size' must be 0 or more"),
        ({**CARD, "step_weights": {"where": 0}}, r"step_weights\.where = 0"),
        ({**CARD, "prompts": ["Find {x}."]}, r"key 'prompts' does not belong here"),
        ("- a\n- b\n", r"task\.yaml: a task card is a mapping"),
        ("a: [", r"task\.yaml: not valid YAML"),
        ("1: 2\n", r"task\.yaml: a task card is a mapping"),
    ],
)
def test_mistakes_in_a_card(tmp_path, card, message):
    with pytest.raises(UsageError, match=message) as caught:
        load_card(write(tmp_path, card))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        (None, r"prompts\.txt: missing"),
        ("", r"prompts\.txt: section 'train:' holds no phrasing"),
        ("train:\nFind {x}.\n", r"prompts\.txt: section 'test:' holds no phrasing"),
        ("Find {x}.\n", r"prompts\.txt, line 1: a phrasing before any section"),
        ("train:\nFind {x}.\ndev:\n", r"prompts\.txt, line 3: section 'dev' is unknown; known: train, test"),
        ("train:\nFind it.\n", r"prompts\.txt, line 2: 'Find it\.': .*exactly one \{x\}"),
        ("train:\nFind {x} near {x}.\n", r"line 2: .*exactly one \{x\}"),
        ("train:\nFind {x} {y}.\n", r"line 2: .*exactly one \{x\}"),
        ("train:\nFind {x}.\ntest:\nfind {X}.\nFIND {x}.\n", r"prompts\.txt, line 4"),
        ("train:\nFind {x}.\ntest:\nFIND {x}.\n", r"prompts\.txt, line 4: 'FIND \{x\}\.' stands in line 2 already"),
        ("relevant:\nLook at {x}.\n", r"line 2: .*no braces"),
    ],
)
def test_mistakes_in_the_phrasings(tmp_path, prompts, message):
    with pytest.raises(UsageError, match=message):
        load_card(write(tmp_path, prompts=prompts))


@pytest.mark.parametrize(
    ("kind", "line", "message"),
    [
        ("spatial", "Where is {x}?", r"exactly one \{x\}, one \{y\}"),
        ("reading", "Read {x}.", r"holds no braces"),
        ("comparison", "Is {x} or {y} {how}, {how}?", r"exactly one \{x\}, one \{y\}, one \{how\}"),
    ],
)
def test_a_kind_has_its_own_places(tmp_path, kind, line, message):
    with pytest.raises(UsageError, match=message):
        load_card(write(tmp_path, {**CARD, "kind": kind}, f"train:\n{line}\n"))


def test_phrasings_that_are_no_text(tmp_path):
    folder = write(tmp_path)
    (folder / "prompts.txt").write_bytes(b"train:\nFind {x}.\xff\n")
    with pytest.raises(UsageError, match=r"prompts\.txt: not UTF-8 text \(byte 16\)"):
        load_card(folder)
