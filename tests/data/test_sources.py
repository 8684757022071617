"""Sources by name: wrong names are named, built sets give the very examples they were built from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lynx_cl.data.built import MANIFEST, build
from lynx_cl.data.sources import open_source
from lynx_cl.errors import LynxError, UsageError
from lynx_cl.tasks import load_card
from tests.data.folders import small_voc

GROUNDING, CELLS = load_card("grounding"), load_card("cells")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("scot", r"'scot' is unknown; did you mean scout\?"),
        ("tar", r"'tar' is unknown; known: scout\[:FOLDER\], scenes, voc:FOLDER"),
        ("voc", "give it as voc:FOLDER"),
        ("voc:", "give it as voc:FOLDER"),
        ("scout:/no/such/folder", "no folder /no/such/folder"),
        ("scenes:/data", "takes no folder"),
        ("voc:/no/such/place", "no folder /no/such/place"),
    ],
)
def test_wrong_names(spec, message):
    with pytest.raises(UsageError, match=message):
        open_source(spec)


def test_wrong_limit_and_split():
    with pytest.raises(UsageError, match="limit 0 leaves no picture"):
        open_source("scout", limit=0)
    with pytest.raises(UsageError, match="split 'dev' is unknown; known: train, calibration, test"):
        open_source("scout", limit=1).groups("dev")


def test_scenes_are_asked_once_for_each_thing_that_is_there_once():
    source = open_source("scenes", GROUNDING, limit=20)
    for group in source.groups("train"):
        assert all(len(example.steps) == 1 and example.kind == "category" for example in group)
        assert len({example.targets for example in group}) == len(group)
    assert len(source.digest()) == 64


def test_a_limit_is_the_most_pictures_of_a_split():
    counts = open_source("scenes", GROUNDING, limit=7).summary()["pictures"]
    assert all(0 < count <= 7 for count in counts.values())  # in some nothing can be asked for


@pytest.mark.parametrize("images", [False, True])
def test_a_built_set_gives_the_same_examples(tmp_path, images):
    source = open_source("scout", GROUNDING, seed=4, limit=4)
    folder = build(source, tmp_path, images=images)
    assert build(source, tmp_path, images=images) == folder
    again = open_source(f"built:{folder}", GROUNDING)
    for split in source.splits:
        for one, other in zip(source.examples(split), again.examples(split), strict=True):
            assert (one.steps, one.targets, one.kind, one.image_key) == (
                other.steps,
                other.targets,
                other.kind,
                other.image_key,
            )
            assert one.open().tobytes() == other.open().tobytes()
            assert isinstance(other.image, Path) == images
    manifest = json.loads((folder / MANIFEST).read_text())
    assert manifest["annotator"] == "oracle" and manifest["digest"] == source.digest()
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]  # nothing half-made is left


def test_a_built_set_of_files(tmp_path):
    source = open_source(f"voc:{small_voc(tmp_path / 'v')}", CELLS)
    with pytest.raises(LynxError, match="build with --with-pictures"):  # mirrored views are drawn
        build(source, tmp_path / "out")
    folder = build(source, tmp_path / "out", images=True)
    assert len(open_source(f"built:{folder}", CELLS).groups("train")) == CELLS.views


def test_a_built_set_that_was_changed(tmp_path):
    folder = build(open_source("scout", GROUNDING, limit=2), tmp_path)
    with pytest.raises(LynxError, match="built for task 'grounding', not 'cells'"):
        open_source(f"built:{folder}", CELLS)
    with (folder / "train.jsonl").open("a") as file:
        file.write("\n")
    with pytest.raises(LynxError, match=r"train\.jsonl: missing, or changed"):
        open_source(f"built:{folder}", GROUNDING)
    (folder / MANIFEST).write_text("{}")
    with pytest.raises(LynxError, match="of another version"):
        open_source(f"built:{folder}", GROUNDING)
    (folder / MANIFEST).unlink()
    with pytest.raises(LynxError, match="no manifest.json"):
        open_source(f"built:{folder}", GROUNDING)
