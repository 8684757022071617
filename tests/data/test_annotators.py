"""Who made the labels: a source's own word, what its name says, and the guard against scoring a model by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from lynx_cl.data.annotators import GROUND_TRUTH, Labels, check_shared
from lynx_cl.data.built import build
from lynx_cl.data.sources import open_source
from lynx_cl.errors import LynxError, UsageError
from lynx_cl.tasks import load_card
from tests.data.folders import small_voc

GROUNDING, CELLS = load_card("grounding"), load_card("cells")


@pytest.mark.parametrize(
    ("labels", "shared"),
    [
        (Labels("a", ("owlv2",), ("owlv2",)), ("owlv2",)),
        (Labels("a", ("oracle", "owlv2"), ("owlv2",)), ("owlv2",)),
        (Labels("a", ("owlv2",), ("people",)), ()),
        (Labels("a", ("owlv2",), ("grounding-dino",)), ()),
        (Labels("a", ("oracle",), ("oracle",)), ()),
        (Labels("a", ("voc xml",), ("voc xml",)), ()),
        (Labels("a", (), ()), ()),
        (Labels("a", ("coco json", "dino"), ("coco json", "dino")), ("dino",)),
        (Labels("a", ("x", "y", "z"), ("z", "people", "x")), ("z", "x")),
    ],
)
def test_a_model_s_labels_are_shared_and_the_truth_is_not(labels: Labels, shared: tuple[str, ...]) -> None:
    assert labels.shared == shared


def test_the_refusal_names_every_task_and_its_annotator() -> None:
    labels = [Labels(task, (name,), (name,)) for task, name in (("a", "owlv2"), ("b", "oracle"), ("c", "x"))]
    with pytest.raises(LynxError, match=r"task 'a' \(owlv2\), 'c' \(x\): .*--allow-shared-annotator") as refused:
        check_shared(labels, allowed=False)
    assert "\n" not in str(refused.value)
    check_shared(labels, allowed=True)
    check_shared(labels[1:2], allowed=False)


def test_a_source_s_name_says_who_labelled_it(tmp_path: Path) -> None:
    folder = small_voc(tmp_path)
    plain = open_source(f"voc:{folder}", CELLS)
    assert plain.annotator in GROUND_TRUTH and not plain.labels.shared
    assert "test_annotator" not in plain.summary()
    guessed = open_source(f"voc:{folder}?annotator=owlv2", CELLS)
    assert guessed.labels == Labels("cells", ("owlv2",), ("owlv2",)) and guessed.labels.shared
    apart = open_source(f"voc:{folder}?annotator=owlv2&test_annotator=people", CELLS)
    assert apart.labels == Labels("cells", ("owlv2",), ("people",))
    assert apart.summary()["annotator"] == "owlv2" and apart.summary()["test_annotator"] == "people"
    told = {split: {e.provenance.annotator for e in apart.examples(split)} for split in ("train", "test")}
    assert told == {"train": {"owlv2"}, "test": {"people"}}
    assert len({plain.digest(), guessed.digest(), apart.digest()}) == 3
    assert open_source(f"voc:{folder}?annotator=voc xml", CELLS).digest() == plain.digest()


def test_a_built_set_keeps_who_labelled_it(tmp_path: Path) -> None:
    folder = small_voc(tmp_path)
    source = open_source(f"voc:{folder}?annotator=owlv2&test_annotator=people", CELLS)
    again = open_source(f"built:{build(source, tmp_path / 'built', images=True)}", CELLS)
    assert again.labels == source.labels
    assert {e.provenance.annotator for e in again.examples("test")} == {"people"}


def test_drawn_data_has_no_other_annotator() -> None:
    with pytest.raises(UsageError, match="scout\\?annotator=x"):
        open_source("scout?annotator=x", GROUNDING)
