"""Requests as plans: what is split and into what, what stays whole, and what points back is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lynx_cl.base.nano.phrasings import TEMPLATES
from lynx_cl.continual.clauses import split_request
from lynx_cl.data.scenes import BY_NAME
from lynx_cl.data.words import plural, singular
from lynx_cl.tasks import load_card

SPLIT = {
    "Count the dogs and show where the smallest is.": ["Count the dogs.", "Show where the smallest dog is."],
    "count the dogs and show where the smallest is": ["count the dogs", "show where the smallest dog is"],
    "Count the dogs, and locate the leftmost one.": ["Count the dogs.", "Locate the leftmost dog."],
    "Count the dogs; box the leftmost.": ["Count the dogs.", "Box the leftmost dog."],
    "Count the dogs. Then box the lowest one.": ["Count the dogs.", "Box the lowest dog."],
    "Count the dogs, locate the leftmost one, then box it.": [
        "Count the dogs.",
        "Locate the leftmost dog.",
        "Box the leftmost dog.",
    ],
    "Find the smallest dog, then box it": ["Find the smallest dog", "Box the smallest dog"],
    "Locate the dog next to the cat and then tell me its size.": [
        "Locate the dog next to the cat.",
        "Tell me the size of the dog next to the cat.",
    ],
    "How many dogs are there and where is the leftmost one?": [
        "How many dogs are there?",
        "Where is the leftmost dog?",
    ],
    "How many people do you see? Where is the tallest?": [
        "How many people do you see?",
        "Where is the tallest person?",
    ],
    "Which one is the odd one out and how many dogs are there?": [
        "Which one is the odd one out?",
        "How many dogs are there?",
    ],
    "Tell me how many cups there are and where the largest one is.": [
        "Tell me how many cups there are.",
        "Tell me where the largest cup is.",
    ],
    "Count the cups and where is the largest?": ["Count the cups.", "Where is the largest cup?"],
    "Could you please count the sheep as well as tell me where the lowest one is?": [
        "Count the sheep.",
        "Tell me where the lowest sheep is.",
    ],
    "count the hot dogs, and also mark the lowest": ["count the hot dogs", "mark the lowest hot dog"],
    "count dogs and find the smallest": ["count dogs", "find the smallest dog"],
    "I want to know how many buses there are, and please locate the leftmost bus.": [
        "I want to know how many buses there are.",
        "Locate the leftmost bus.",
    ],
    "First count the benches, then draw a box around the topmost one.": [
        "Count the benches.",
        "Draw a box around the topmost bench.",
    ],
    "Count the small dogs and box the one on the left.": ["Count the small dogs.", "Box the small dog on the left."],
    "Count the wine glasses and find the second one from the left.": [
        "Count the wine glasses.",
        "Find the second wine glass from the left.",
    ],
    "Locate the leftmost dog and count all the dogs.": ["Locate the leftmost dog.", "Count all the dogs."],
    "Locate the dogs and count them.": ["Locate the dogs.", "Count the dogs."],
    "Find the dogs and tell me how many there are.": ["Find the dogs.", "Tell me how many dogs there are."],
    "Find the cups and give me the number.": ["Find the cups.", "Give me the number of cups."],
    "Count the dogs and box them": ["Count the dogs", "Box the dogs"],
    "Describe the dog and mark it.": ["Describe the dog.", "Mark the dog."],
    "Is there a dog and where is it?": ["Is there a dog?", "Where is the dog?"],
    "Count the dogs and locate the cat that has a ball next to it.": [
        "Count the dogs.",
        "Locate the cat that has a ball next to it.",
    ],
    "Count the dogs and draw a box around it": ["Count the dogs", "Draw a box around the dog"],
    "Locate the cat and tell me its bounding box and count the dogs": [
        "Locate the cat and tell me its bounding box",
        "Count the dogs",
    ],
    "I like this. Count the dogs and find the smallest one please.": [
        "I like this. Count the dogs.",
        "Find the smallest dog.",
    ],
    "Read the sign and tell me where it is.": ["Read the sign.", "Tell me where the sign is."],
    "describe the picture and count the dogs": ["describe the picture", "count the dogs"],
}
WHOLE = [
    "locate the dog and the cat",
    "the black and white dog",
    "find the black and white dog",
    "Find the dog and then the cat.",
    "Find the biggest dog and the smallest one.",
    "How many cats and dogs are there?",
    "Is there a dog and a cat?",
    "Find the dog and mark it with a box.",
    "Count the dogs and tell me the number.",
    "How many dogs are there? Give the count.",
    "Where is the dog? Give its box.",
    "Which dog is small? Mark it.",
    "Can you find the dog? I need its box.",
    "I am looking for the dog, give its box.",
    "Tell me, where is the dog?",
    "Count the dogs, please.",
    "Find the people who sit and read the paper.",
    "Where do people sit and read the paper?",
    'Read the word "stop and count the cars".',
    "Find the sign (the one that says stop and count the cars).",
    "Show the dog next to the cup and mark on the wall.",
    "The dog and where the cat is",
    "hello and good day",
    "Find the dog and count.",
    "and then",
    "",
]


@pytest.mark.parametrize("text", SPLIT)
def test_a_request_for_several_things_is_split(text: str) -> None:
    assert split_request(text) == SPLIT[text]


@pytest.mark.parametrize("text", WHOLE)
def test_a_request_for_one_thing_stays_whole(text: str) -> None:
    assert split_request(f" {text}\n") == [text]


@pytest.mark.parametrize("thing", ["the dog", "the small dog to the left of the cat", "the black and white dog"])
def test_no_phrasing_of_a_task_is_split(thing: str) -> None:
    cards = [load_card(name) for name in ("grounding", "cells", "counting")]
    texts = [phrasing.format(x=thing) for card in cards for phrasing in (*card.prompts.train, *card.prompts.test)]
    assert [text for text in texts if split_request(text) != [text]] == []


def test_no_question_of_the_base_is_split() -> None:
    words = {"x": "small dog", "y": "cat", "a": "a dog", "p": "top left", "s": "animal", "e": "dog next to the cat"}
    words |= {"xs": "small dogs", "ys": "cats", "way": "further left"}
    texts = [template.format(**words) for templates in TEMPLATES.values() for template in templates]
    texts += [f"look and tell me, {text[0].lower()}{text[1:]}" for text in texts]
    assert [text for text in texts if split_request(text) != [text]] == []


def test_every_category_is_named_from_its_plural() -> None:
    for name in BY_NAME:
        assert singular(plural(name)) == name
        counted = f"count the {plural(name)}"
        assert split_request(f"{counted} and box the smallest") == [counted, f"box the smallest {name}"]


@given(
    st.lists(st.sampled_from("count box the dogs dog and then where is it one smallest , . ; ? tell me its".split()))
)
def test_whatever_is_typed_clauses_are_requests_by_themselves(words: list[str]) -> None:
    text = " ".join(words)
    clauses = split_request(text)
    assert clauses and all(clauses) or text == ""
    if len(clauses) == 1:
        assert clauses == [text.strip()]
