"""Answers in words: what counts as the same, as a beginning, and as naming the same things."""

from __future__ import annotations

import pytest

from lynx_cl.evaluation.text import exact_match, mean_by_kind, named, object_f1, prefix_match


@pytest.mark.parametrize(
    ("answer", "truth", "same"),
    [
        ("Yes.", "yes", True),
        ("  the  Dog ", "a dog", True),
        ("theatre", "atre", False),
        ("", "", True),
        ("", "yes", False),
        ("yes, on the left", "yes", False),
        ("dogs", "dog", False),
    ],
)
def test_exact_match(answer: str, truth: str, same: bool) -> None:
    assert exact_match(answer, truth) is same


@pytest.mark.parametrize(
    ("answer", "truth", "begins"),
    [
        ("yes, on the left", "yes", True),
        ("Yes", "yes.", True),
        ("a dog and a cat", "dog", True),
        ("no, yes", "yes", False),
        ("dogs", "dog", False),
        ("10", "1", False),
        ("yes", "yes, on the left", False),
        ("anything", "", False),
        ("", "yes", False),
        ("a+b is it", "a+b", True),
    ],
)
def test_prefix_match(answer: str, truth: str, begins: bool) -> None:
    assert prefix_match(answer, truth) is begins


def test_names_are_whole_words() -> None:
    assert named("hotdog, cats, a scatter", ["dog", "cat", "hot dog"]) == {}
    assert named("A TV on the tv", ["TV"]) == {"tv": 2}
    assert named("anything at all", []) == {}


def test_object_f1_counts_a_bag() -> None:
    names = ["dog", "cat", "bus"]
    assert object_f1("a dog, a dog", "a dog", names) == pytest.approx(2 / 3)
    assert object_f1("a dog", "a dog, a dog, a cat", names) == pytest.approx(2 * 1 / 4)
    assert object_f1("a bus and a cat", "a cat, a bus", names) == 1.0
    assert object_f1("a bus", "a cat", names) == 0.0
    assert object_f1("", "a cat", names) == 0.0
    assert object_f1("nothing", "nothing at all", names) == 1.0


def test_mean_by_kind() -> None:
    assert mean_by_kind([], []) == {}
    with pytest.raises(ValueError):
        mean_by_kind(["size"], [])
