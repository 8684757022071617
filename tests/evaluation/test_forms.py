"""Answers read strictly and normalised, against readings worked out by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lynx_cl.data.grammar import GRAMMARS
from lynx_cl.evaluation.forms import box_forms, read_boxes, word_forms

KEYED, BRACKETS = GRAMMARS["keyed"], GRAMMARS["brackets"]
BOX = "left 12 top 34 right 50 bottom 99"
TWO = f"dog: {BOX}; hot dog: left 1 top 2 right 3 bottom 4"


@pytest.mark.parametrize(
    ("text", "truth", "right", "strict", "normalised"),
    [
        ("dog", "dog", True, "dog", "dog"),
        ("The dog.", "dog", True, "", "dog"),
        ("Dog", "the dog", True, "", "the dog"),
        ("'traffic-light'", "traffic light", False, "'traffic-light'", "traffic light"),
        ("It is above, left!", "above left", False, "It is above, left!", "above left"),
        ("There are 3", "three", True, "", "three"),
        ("zero", "none", True, "", "none"),
        (f"dog: {BOX}", "dog", False, f"dog: {BOX}", "dog"),
        ("\uff24\uff4f\uff47", "dog", False, "\uff24\uff4f\uff47", "dog"),  # full-width letters
        ("left", "above left", False, "left", "left"),  # another answer stays another answer
        ("hot dog", "dog", False, "hot dog", "hot dog"),
        ("it", "dog", False, "it", "it"),
        ("", "dog", False, "", ""),
        (BOX, "three", False, BOX, BOX),
    ],
)
def test_words(text: str, truth: str, right: bool, strict: str, normalised: str) -> None:
    assert word_forms(text, truth, right) == (strict, normalised)


@pytest.mark.parametrize(
    ("text", "truth", "strict", "normalised"),
    [
        (BOX, BOX, BOX, BOX),
        ("[12, 34, 50, 99]", BOX, "", BOX),
        ("(12,34),(50,99)", BOX, "", BOX),
        ("<box>12 34 50 99</box>", BOX, "", BOX),
        ("[0.12, 0.34, 0.50, 0.995]", BOX, "", BOX),
        ("12%, 34%, 50%, 100%", BOX, "", BOX),
        ("Top: 34, Left: 12, Bottom: 99, Right: 50", BOX, "", BOX),
        ("left 50 top 99 right 12 bottom 34", BOX, "", BOX),
        (f"the box is {BOX}.", BOX, "", BOX),
        (TWO, TWO, TWO, TWO),
        (TWO.replace("; ", " , ").replace("hot dog", "a Hot-Dog"), TWO, "", TWO),
        (TWO.replace("dog: left 12", "Dog: left 12"), TWO, "hot dog: left 1 top 2 right 3 bottom 4", TWO),
        (TWO.replace("dog: left 12", "cat: left 12"), TWO, *[TWO.replace("dog: left 12", "cat: left 12")] * 2),
        ("none", "none", "none", "none"),
        ("No dogs.", "none", "", "none"),
        ("dog", BOX, "", "dog"),
        ("12 34 12 99", BOX, "", "12 34 12 99"),  # no area
        ("120 340 500 990", BOX, "", "120 340 500 990"),  # pixels of who knows what
        ("-12 34 50 99", BOX, "", "-12 34 50 99"),
        ("12 34 50", BOX, "", "12 34 50"),
    ],
)
def test_boxes(text: str, truth: str, strict: str, normalised: str) -> None:
    assert box_forms(text, truth, KEYED) == (strict, normalised)


def test_a_base_that_writes_brackets_reads_the_other_form_too() -> None:
    assert box_forms(BOX, "[12, 34, 50, 99]", BRACKETS) == ("", "[12, 34, 50, 99]")


def test_a_list_in_json_keeps_its_boxes() -> None:
    assert [box for _, box in read_boxes('[{"bbox": [1, 2, 3, 4]}, {"bbox": [10, 20, 30, 40]}]')] == [
        (0.015, 0.025, 0.035, 0.045),
        (0.105, 0.205, 0.305, 0.405),
    ]


NUMBERS = st.integers(0, 98)


@given(st.lists(st.tuples(*[NUMBERS] * 4), min_size=1, max_size=4), st.sampled_from([", ", " ", "|"]))
def test_any_list_of_boxes_is_read_back(corners: list[tuple[int, int, int, int]], between: str) -> None:
    """Whatever stands between the numbers, the boxes are those that the grammar writes for them."""
    spans = [(min(a, c), min(b, d), max(a, c) + 1, max(b, d) + 1) for a, b, c, d in corners]
    own = KEYED.parse("; ".join(KEYED.form.format(*span) for span in spans))
    assert read_boxes("; ".join(between.join(map(str, span)) for span in spans)) == own


@given(st.text(max_size=40))
def test_no_text_breaks_a_reading(text: str) -> None:
    for truth in ("dog", "none", TWO):
        word, box = word_forms(text, truth, False), box_forms(text, truth, KEYED)
        assert isinstance(word.normalised, str) and isinstance(box.strict, str)
