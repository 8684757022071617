"""VQA's accuracy by each published rule, worked out by hand, and against another way to write its formula down."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lynx_cl.evaluation.vqa import published_vqa_accuracy, textvqa_normalise, vqa_accuracy, vqa_normalise


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("YES", "yes"),  # letter case
        ("  yes\n", "yes"),
        ("black\tand\nwhite", "black and white"),
        ("the cat", "cat"),  # articles
        ("An apple, a pear", "apple pear"),
        ("theatre", "theatre"),
        ("a", ""),
        ("two", "2"),  # number words, to ten
        ("Zero", "0"),
        ("none", "0"),
        ("ten", "10"),
        ("eleven", "eleven"),
        ("one dog and three cats", "1 dog and 3 cats"),
        ("dont", "don't"),  # contractions without their apostrophe
        ("Isnt", "isn't"),
        ("couldnt've", "couldn't've"),  # one apostrophe too few, wherever it is missing
        ("couldn'tve", "couldn't've"),
        ("couldntve", "couldntve"),
        ("yall'd've", "y'all'd've"),
        ("y'all'dve", "y'all'd've"),
        ("somebody'd", "somebodyd"),  # the published table's own slip
        ("lets", "lets"),
        ("im", "im"),  # the table has it in upper case, which nothing is any more
        ("1,000", "1000"),  # a comma between digits
        ("10,20,30", "102030"),
        ("red,green", "red green"),  # a comma between letters
        ("red, green", "red green"),  # and before a space
        ("1,000 red/green", "1000 redgreen"),  # with a comma between digits every mark goes without a space
        ("red/green", "red green"),
        ("red /green and/or", "red green andor"),  # one that stands alone takes all of its kind along
        ("2.5", "2.5"),  # full stops stay before a digit
        ("5.", "5"),
        ("u.s.a.", "usa"),
        (".5", ".5"),
        ("no!", "no"),
        ("what?!", "what"),
        ("it's: 5", "it's: 5"),  # neither colon nor apostrophe is a mark
        ("5-10", "5 10"),
        ("$5", "$5"),
        ("{a} [b] (c) <d>", "b c d"),
        ("", ""),
    ],
)
def test_normalisation(text, expected):
    assert vqa_normalise(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Macy's", "macy 's"),
        ("10,000", "10000"),
        ("red,green", "redgreen"),  # where vqa_normalise makes two words of it
        ("why?", "why"),
        ("what?now", "whatnow"),
        ("The STOP sign", "stop sign"),
        ("two", "2"),
    ],
)
def test_normalisation_of_textvqa(text, expected):
    assert textvqa_normalise(text) == expected


@given(st.integers(2, 12).flatmap(lambda n: st.lists(st.sampled_from("abc"), min_size=n, max_size=n)))
def test_accuracy_is_the_mean_over_all_groups_that_leave_one_out(people):
    """Over every choice of all but one of the people: min(1, those who agree / 3)."""
    for said in "abcd":
        groups = list(itertools.combinations(range(len(people)), len(people) - 1))
        agree = [sum(people[i] == said for i in group) for group in groups]
        expected = sum(min(Fraction(1), Fraction(n, 3)) for n in agree) / len(groups)
        assert vqa_accuracy(said, [one * 2 for one in people], lambda text: text[:1]) == pytest.approx(float(expected))


@pytest.mark.parametrize(("agree", "expected"), [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)])
def test_accuracy_with_ten_people(agree, expected):
    people = ["blue"] * agree + [f"other {i}" for i in range(10 - agree)]
    assert vqa_accuracy("Blue.", people) == pytest.approx(expected)


def test_the_published_script_normalises_nothing_where_all_agree():
    agreed, other = ["2"] * 10, ["2"] * 9 + ["many"]
    assert published_vqa_accuracy("2", agreed) == 1.0 and published_vqa_accuracy(" 2\n", agreed) == 1.0
    assert published_vqa_accuracy("two", agreed) == 0.0 and published_vqa_accuracy("two", other) == 1.0
    assert vqa_accuracy("two", agreed) == 1.0


def test_a_tie_is_right_for_both_sides():
    people = ["left"] * 5 + ["right"] * 5
    assert vqa_accuracy("left", people) == vqa_accuracy("right", people) == 1.0
    with pytest.raises(ValueError, match="no reference"):
        vqa_accuracy("left", [])
