"""SCouT built from pictures on disk: boxes given by COCO's file, kills, splits, the same digest however it is cut."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lynx_cl.cli.main import main
from lynx_cl.data.grammar import GRAMMARS
from lynx_cl.data.scenes import scenes
from lynx_cl.data.scenes.categories import COCO
from lynx_cl.data.scenes.coco_json import to_coco
from lynx_cl.data.sources import open_source
from lynx_cl.registry import faults
from lynx_cl.tasks import load_card
from tests.continual.process import ENVIRONMENT

COUNT = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("scouted")
    made = list(scenes("train", COUNT, seed=77))
    told = to_coco(made)
    (place / "images").mkdir()
    for image, scene in zip(told["images"], made, strict=True):
        scene.image.save(place / "images" / image["file_name"])
    (place / "boxes.json").write_text(json.dumps(told))
    return place


def command(folder: Path, out: Path, *more: str) -> list[str]:
    given = ["--annotator", "oracle", "--boxes", f"coco:{folder / 'boxes.json'}", "--out", str(out)]
    return ["data", "build", "scout", "--images", str(folder / "images"), *given, *more]


def built(capsys: pytest.CaptureFixture[str], folder: Path, out: Path, *more: str) -> dict:
    capsys.readouterr()
    assert main([*command(folder, out, *more), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_digest_does_not_depend_on_batches_and_files(folder, tmp_path, capsys):
    one = built(capsys, folder, tmp_path / "a")
    for number, (shard, batch) in enumerate(((7, 1), (20, 2), (60, 7))):
        more = ("--shard", str(shard), "--batch-size", str(batch))
        assert built(capsys, folder, tmp_path / f"b{number}", *more)["digest"] == one["digest"]
    refused = {name: one["refused"].get(name, 0) for name in ("doubled", "tiny", "ambiguous")}
    assert one["things"]["found"] == one["things"]["asked about"] + sum(refused.values())


def test_a_killed_build_goes_on_and_makes_no_shard_twice(folder, tmp_path, capsys):
    whole = built(capsys, folder, tmp_path / "whole", "--shard", "10")
    out = tmp_path / "killed"
    arguments = command(folder, out, "--shard", "10")
    environment = {**ENVIRONMENT, faults.VARIABLE: "scout-shard-written:4"}  # the plan, two shards, and in the third
    died = subprocess.run([sys.executable, "-m", "lynx_cl", *arguments], env=environment, capture_output=True)
    assert died.returncode == -9
    before = {path.name: path.stat().st_mtime_ns for path in (out / "labels").glob("0*.jsonl")}
    assert len(before) == 2 and not (out / "scout.json").exists()
    assert built(capsys, folder, out, "--shard", "10")["digest"] == whole["digest"]
    assert {name: (out / "labels" / name).stat().st_mtime_ns for name in before} == before
    assert not list(out.rglob(".unfinished-*"))


def test_all_its_annotators_had_a_part_in_its_labels(folder, tmp_path, capsys):
    built(capsys, folder, tmp_path / "a")
    path = tmp_path / "a" / "scout.json"
    told = json.loads(path.read_text())
    (own,) = (one["annotator"] for one in told["annotators"])
    path.write_text(json.dumps({**told, "annotators": [*told["annotators"], {"annotator": "dino"}]}))

    def labels(options: str = ""):
        return open_source(f"scout:{path.parent}{options}", load_card("grounding")).labels

    assert labels().trained == labels().tested == (own, "dino") and labels().shared == ("dino",)
    apart = labels("?test_annotator=people")
    assert (apart.trained, apart.tested, apart.shared) == ((own, "dino"), ("people",), ())
    assert labels("?annotator=owlv2").trained == ("owlv2",)


def test_it_is_a_source_whose_answers_are_true_and_splits_apart(folder, tmp_path, capsys):
    built(capsys, folder, tmp_path / "a")
    source = open_source(f"scout:{tmp_path / 'a'}", load_card("grounding"))
    truth = {scene.key.replace("/", "-"): scene for scene in scenes("train", COUNT, seed=77)}
    keys = {split: {e.image_key for e in source.examples(split)} for split in source.splits}
    assert not keys["train"] & keys["test"] and not keys["train"] & keys["calibration"]
    for example in source.examples("train"):
        boxes = [tuple(v / 96 for v in o.box) for o in truth[Path(example.image_key).stem].objects]
        assert any(max(abs(a - b) for a, b in zip(example.targets[0].box, box, strict=True)) < 1e-5 for box in boxes)
        assert len(GRAMMARS["keyed"].parse(example.steps[-1].answer)) == 1
    assert any(len(e.steps) == 3 for e in source.examples("train"))
    assert main(["data", "check", f"scout:{tmp_path / 'a'}"]) == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("--annotator", "oracl"), "annotator 'oracl' is unknown"),
        (("--second", "oracle"), "is the annotator itself"),
        (("--categories", "dog,dog"), "'dog' is there twice"),
    ],
)
def test_mistakes_are_one_line(folder, tmp_path, capsys, change, words):
    assert main([*command(folder, tmp_path / "a"), *change]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


def test_another_build_and_an_unreadable_picture(folder, tmp_path, capsys):
    built(capsys, folder, tmp_path / "a")
    assert main(command(folder, tmp_path / "a", "--categories", "dog,cat")) == 1
    assert "holds a build with other annotators" in capsys.readouterr().err
    (folder / "images" / "zz.png").write_bytes(b"no picture")
    try:
        told = built(capsys, folder, tmp_path / "b")
    finally:
        (folder / "images" / "zz.png").unlink()
    assert told["refused"]["unreadable"] == 1 and "zz.png" in told["faults"][0]


def test_a_list_of_categories_may_be_long(folder, tmp_path, capsys):
    whole = built(capsys, folder, tmp_path / "a")
    named = built(capsys, folder, tmp_path / "b", "--categories", ",".join(category.name for category in COCO))
    assert named["questions"] == whole["questions"] and named["refused"].get("off the list", 0) == 0
