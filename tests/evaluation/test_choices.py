"""Which option an answer takes, by three rules."""

from __future__ import annotations

import pytest

from lynx_cl.evaluation.choices import normalised_choice, published_choice, strict_choice

OPTIONS = ("a dog", "the cat", "two cats", "an answer")


@pytest.mark.parametrize(
    ("answer", "strict", "published", "normalised"),
    [
        ("B", 1, 1, 1),
        (" B\n", 1, 1, 1),
        ("b", None, None, 1),
        ("(B)", None, None, 1),
        ("[b]", None, None, 1),
        ("B.", None, 1, 1),
        ("**B**", None, None, 1),
        ("B. the cat", None, 1, 1),
        ("B. a dog", None, 1, 1),  # the letter counts
        ("B) the cat", None, None, 1),
        ("(b) the cat", None, None, 1),
        ("B: the cat", None, None, 1),
        ("The answer is B.", None, 1, 1),
        ("The answer is B", None, None, 1),  # the published pattern wants a letter more
        ("Answer: B", None, None, 1),
        ("answer: (b)", None, None, 1),
        ("I would take option C, of course.", None, None, 2),
        ("The answer is B. The answer is B.", None, None, 1),
        ("The answer is B. No, the answer is C.", None, 1, None),
        ("the cat", None, None, 1),
        ("Cat.", None, None, 1),
        ("The answer is: the cat", None, None, 1),
        ("It is a dog", None, None, 0),
        ("2 cats", None, None, 2),
        ("an answer", None, None, 3),
        ("cats", None, None, None),
        ("the answer is a dog", None, None, 0),  # 'a' is no letter there
        ("E", None, None, None),
        ("The answer is E.", None, None, None),
        ("A or B", None, None, None),
        ("I am sure that it is the cat, since it purrs", None, None, None),
        ("B's the one", None, None, None),
        ("1", None, None, None),
        ("?", None, None, None),
        ("", None, None, None),
    ],
)
def test_choices(answer, strict, published, normalised):
    told = (strict_choice(answer, OPTIONS), published_choice(answer, OPTIONS), normalised_choice(answer, OPTIONS))
    assert told == (strict, published, normalised)


def test_options_that_cannot_be_told_apart_are_not_taken_by_their_text():
    assert normalised_choice("the dog", ("A dog.", "dog", "cat")) is None
    assert normalised_choice("a cat", ("A dog.", "dog", "cat")) == 2
