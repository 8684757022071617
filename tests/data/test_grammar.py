"""The box grammar: what is written is read back within half a bin, and nothing else is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lynx_cl.data.grammar import GRAMMARS, GrammarError, get_grammar
from lynx_cl.errors import UsageError

FRACTION = st.floats(0, 1, allow_nan=False)
SPAN = st.tuples(FRACTION, FRACTION).map(sorted).filter(lambda span: span[0] < span[1])
BOX = st.tuples(SPAN, SPAN).map(lambda spans: (spans[0][0], spans[1][0], spans[0][1], spans[1][1]))
LABEL = st.none() | st.text(
    st.characters(codec="utf-8", exclude_characters=":;[]", categories=["L", "N", "P"]), min_size=1
)
GRAMMAR = st.sampled_from(sorted(GRAMMARS))


@given(GRAMMAR, BOX)
def test_a_box_comes_back_within_its_bins(name, box):
    ((label, read),) = GRAMMARS[name].parse(GRAMMARS[name].write(box))
    assert label is None
    for axis in (0, 1):
        low, high = box[axis], box[axis + 2]
        wide = high - low >= 0.01  # a narrower one may be written one bin long
        assert abs(read[axis] - low) <= (0.005 if wide else 0.015) + 1e-8
        assert abs(read[axis + 2] - high) <= (0.005 if wide else 0.015) + 1e-8
        assert read[axis] < read[axis + 2]


@given(GRAMMAR, st.lists(st.tuples(LABEL, BOX), min_size=1, max_size=4))
def test_what_is_read_is_written_again_as_it_was(name, items):
    grammar = GRAMMARS[name]
    text = grammar.write_all(items)
    assert grammar.write_all(grammar.parse(text)) == text
    assert [label for label, _ in grammar.parse(f" {text}\n")] == [label for label, _ in items]


def test_numbers_are_floors_of_hundredths_and_read_as_middles():
    keyed = GRAMMARS["keyed"]
    assert keyed.write((0.0, 0.0999, 0.29, 1.0)) == "left 0 top 9 right 29 bottom 99"
    assert keyed.parse("left 0 top 9 right 29 bottom 99") == [(None, (0.005, 0.095, 0.295, 0.995))]
    assert GRAMMARS["brackets"].write((0.12, 0.34, 0.56, 0.78)) == "[12, 34, 56, 78]"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "the dog",
        "left 1 top 2 right 3",
        "left 1 top 2 right 3 bottom 100",
        "left 01 top 2 right 3 bottom 4",
        "left -1 top 2 right 3 bottom 4",
        "left 5 top 2 right 5 bottom 4",
        "left 1 top 9 right 3 bottom 4",
        "left 1  top 2 right 3 bottom 4",
        "left 1 top 2 right 3 bottom 4;",
        "left 1 top 2 right 3 bottom 4; dog",
        ": left 1 top 2 right 3 bottom 4",
        "dog : left 1 top 2 right 3 bottom 4",
        "left 1 top 2 right 3 bottom 4 please",
        "left \u0661 top 2 right 3 bottom 4",
    ],
)
def test_any_other_text_is_refused(text):
    with pytest.raises(GrammarError):
        GRAMMARS["keyed"].parse(text)


@pytest.mark.parametrize(
    "box", [(0.5, 0, 0.5, 1), (0.6, 0, 0.5, 1), (-0.1, 0, 1, 1), (0, 0, 1, 1.1), (float("nan"), 0, 1, 1)]
)
def test_a_box_without_area_or_outside_is_not_written(box):
    with pytest.raises(GrammarError, match="must lie in"):
        GRAMMARS["keyed"].write(box)


def test_a_label_the_grammar_cannot_hold():
    with pytest.raises(GrammarError, match="label 'a: b'"):
        GRAMMARS["keyed"].write_all([("a: b", (0, 0, 1, 1))])


def test_an_unknown_grammar_names_those_there_are():
    with pytest.raises(UsageError, match="grammar 'xml' is unknown; known: keyed, brackets"):
        get_grammar("xml")
