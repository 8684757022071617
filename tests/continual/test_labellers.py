"""Who labels pictures for SCouT (a real detector, a model that answers questions, a bank, given boxes), and data that a
bank learns from."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lynx_cl.cli.main import main
from lynx_cl.continual import asking
from lynx_cl.data.example import Box
from lynx_cl.data.grammar import GRAMMARS
from lynx_cl.data.scenes import SIDE, Scene, scenes
from lynx_cl.data.scenes.coco_json import to_coco
from lynx_cl.data.scouted.findings import iou
from tests.continual.learned_tiny import learned_base, learned_registry
from tests.continual.process import SHORT, lynx
from tests.continual.study_tiny import write_base
from tests.data.folders import write_voc

SEED, PICTURES = 78, 24


@pytest.fixture(scope="module")
def drawn() -> list[Scene]:
    return list(scenes("train", PICTURES, seed=SEED))


@pytest.fixture(scope="module")
def photos(drawn: list[Scene], tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("photos")
    told = to_coco(drawn)
    for number, (image, scene) in enumerate(zip(told["images"], drawn, strict=True)):
        image["file_name"] = f"{number:03}.png"
        scene.image.save(place / image["file_name"])
    (place.parent / "boxes.json").write_text(json.dumps(told))
    return place


@dataclass
class Building:
    """`data build scout` of the drawn pictures, into folders of one place."""

    photos: Path
    place: Path
    capsys: pytest.CaptureFixture[str]

    def run(self, out: str, *more: str) -> tuple[int, str, str]:
        """The exit code, and what was said on each stream."""
        self.capsys.readouterr()
        code = main(["data", "build", "scout", "--images", str(self.photos), "--out", str(self.place / out), *more])
        said = self.capsys.readouterr()
        return code, said.out, said.err

    def __call__(self, out: str, *more: str) -> tuple[dict[str, Any], list[Any]]:
        """The report of a build that went well, and the records that it wrote."""
        code, report, error = self.run(out, *more, "--json")
        assert code == 0, error
        return json.loads(report), [
            json.loads(line) for file in sorted((self.place / out).glob("*.jsonl")) for line in file.open()
        ]

    def refused(self, *more: str) -> str:
        """The one line with which a build is refused before it asks anybody."""
        code, _, error = self.run("refused", *more)
        assert code == 2 and error.count("\n") == 1
        return error


@pytest.fixture
def build(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Building:
    return Building(photos, tmp_path, capsys)


def things_of(records: Sequence[Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Things with the number of their picture."""
    for record in records:
        yield from ((int(record["name"][:3]), thing) for thing in record["things"])


def true_boxes(scene: Scene, label: str) -> list[Box]:
    return [tuple(v / SIDE for v in o.box) for o in scene.objects if o.category == label]  # type: ignore[misc]


def test_a_detector_labels_what_given_boxes_confirm(drawn: list[Scene], build: Building) -> None:
    """The detector that ships, on scenes that it has not seen: what is kept lies on a thing of that name."""
    held = sorted({o.category for scene in drawn[:6] for o in scene.objects})[:6]
    given = ("--boxes", f"coco:{build.photos.parent / 'boxes.json'}", "--categories", ",".join(held))
    more = ("--annotator", "detector:scenes-dino", "--second", "oracle", "--score", "0.5", "--doubled", "0.4")
    report, records = build("d", *more, *given)
    found = list(things_of(records))
    assert report["things"]["asked about"] > 3 and found
    assert report["refused"]["doubled"] > 0  # it boxes a thing many times
    for number, thing in found:
        assert max(iou(tuple(thing["box"]), box) for box in true_boxes(drawn[number], thing["label"])) >= 0.5
        assert thing["by"]["annotator"] == "scenes-dino" and len(thing["by"]["version"]) == 64
        assert thing["by"]["prompt"] == thing["label"] and thing["by"]["score"] >= 0.5
        assert thing["confirmed"]["annotator"] == "coco json" and thing["confirmed"]["iou"] >= 0.5
    alone, _ = build("alone", *more[:2], *more[4:], *given[2:])
    assert alone["things"]["asked about"] >= report["things"]["asked about"]


class Knowing:
    """Answers for a model, as one that knows what is in the drawn pictures would; keeps who was asked what.

    What it says of a thing leads back to that thing, but where `astray` it leads to the picture's upper left.
    """

    def __init__(self, drawn: Sequence[Scene], write: Callable[[Box], str], astray: bool = False) -> None:
        self.scenes = {np.asarray(scene.image).tobytes(): scene for scene in drawn}
        self.write, self.astray = write, astray
        self.asked: list[tuple[str, Any]] = []

    def __call__(
        self, base: Any, attachment: Any, requests: Sequence[Any], banks: Sequence[Any], **_: Any
    ) -> list[str]:
        self.asked += [(request.text, bank) for request, bank in zip(requests, banks, strict=True)]
        return [self._say(self.scenes[np.asarray(request.image).tobytes()], request.text) for request in requests]

    def _say(self, scene: Scene, text: str) -> str:
        held = [o.category for o in scene.objects]
        if text.startswith("What is in"):
            return ", ".join(held) + "."
        if match := re.fullmatch(r"Is there a (.*) in the picture\?", text):
            return "Yes." if match[1] in held else "No."
        if match := re.fullmatch(r"Describe the (.*) at .*", text):
            return f"the {match[1]} of the picture"
        if match := re.fullmatch(r"Give the bounding box of the (.*) of the picture\.", text):
            return self.write((0.0, 0.0, 0.1, 0.1)) if self.astray else self._boxes(scene, match[1])
        if match := re.fullmatch(
            r"(?:Give the bounding box of each|Locate the|Find the) (.*?)(?: in the picture)?\.", text
        ):
            return self._boxes(scene, match[1])
        raise AssertionError(text)

    def _boxes(self, scene: Scene, label: str) -> str:
        return " ".join(self.write(box) for box in true_boxes(scene, label)) or "There is none."


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("model") / "tiny")


@pytest.mark.parametrize("form", ["fractions", "thousandths", "pixels", "grammar"])
def test_a_model_is_asked_step_by_step(
    drawn: list[Scene], model: Path, tmp_path: Path, build: Building, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """What is there, where, in what words, and back: in whatever form it writes boxes."""
    scale = {"fractions": 1, "thousandths": 1000, "pixels": SIDE}.get(form, 1)

    def write(box: Box) -> str:
        if form == "grammar":
            return GRAMMARS["keyed"].write(box)
        return "[" + ", ".join(f"{v * scale:.{4 if scale == 1 else 1}f}" for v in box) + "]"

    knowing = Knowing(drawn, write)
    monkeypatch.setattr(asking, "answer", knowing)
    (tmp_path / "prompts.yaml").write_text(f"boxes: {form}\n")
    more = ("--annotator", f"vlm:{model}", "--prompts", str(tmp_path / "prompts.yaml"))
    report, records = build("d", *more)
    assert report["pictures"]["kept"] > PICTURES / 2 and report["questions"]["phrase"] > PICTURES / 2
    near = {"fractions": 0.99, "thousandths": 0.98, "pixels": 0.97, "grammar": 0.8}[form]
    for number, thing in things_of(records):
        assert max(iou(tuple(thing["box"]), box) for box in true_boxes(drawn[number], thing["label"])) > near
        assert thing["by"]["prompt"] == f"Give the bounding box of each {thing['label']} in the picture."
    first = [text.split()[0] for text, _ in knowing.asked]
    assert first.index("What") < first.index("Give") < first.index("Describe") and {b for _, b in knowing.asked} == {
        None
    }


def test_words_that_lead_elsewhere_are_not_asked(
    drawn: list[Scene], model: Path, build: Building, monkeypatch: pytest.MonkeyPatch
) -> None:
    knowing = Knowing(drawn, GRAMMARS["keyed"].write, astray=True)
    monkeypatch.setattr(asking, "answer", knowing)
    report, _ = build("d", "--annotator", f"vlm:{model}", "--categories", "dog,cat,car,bird")
    assert report["refused"]["led elsewhere"] > 0 and report["questions"].get("phrase", 0) == 0
    assert knowing.asked[0][0] == "Is there a bird in the picture?"  # of categories, each is asked about


def test_a_model_that_writes_no_boxes_is_given_up(model: Path, tmp_path: Path, build: Building) -> None:
    """A real model, with random weights: whatever it babbles, the build ends in one line and keeps nothing."""
    (tmp_path / "p.yaml").write_text("what: Dog or cat?\ntokens: 6\nboxes: pixels\n")
    given = ("--second", "oracle", "--boxes", f"coco:{build.photos.parent / 'boxes.json'}")
    code, _, error = build.run("d", "--annotator", f"vlm:{model}", *given, "--prompts", str(tmp_path / "p.yaml"))
    left = f"no question is left of {PICTURES} pictures ({PICTURES} unlabelled); see {tmp_path / 'd' / 'report.json'}"
    assert code == 1 and error.splitlines()[-1] == f"lynx-cl: {build.photos}: {left}"
    assert not list((tmp_path / "d").glob("*.jsonl"))
    assert "nowhere" in build.refused("--annotator", "vlm:nowhere")


def test_a_bank_says_where_and_its_base_what(
    drawn: list[Scene], tmp_path: Path, build: Building, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = learned_base()
    registry = learned_registry(tmp_path / "registry", base, "counting", "grounding")
    monkeypatch.setattr(asking, "load_base", lambda name: base)
    version = registry.task("grounding")
    phrasing = version.manifest.card["prompts"]["train"][0]
    where = re.compile(re.escape(phrasing).replace(r"\{x\}", "the (.*)"))
    knowing = Knowing(drawn, GRAMMARS["keyed"].write)
    say = knowing._say

    def said(scene: Scene, text: str) -> str:
        match = where.fullmatch(text)
        return knowing._boxes(scene, match[1]) if match else say(scene, text)

    monkeypatch.setattr(knowing, "_say", said)
    monkeypatch.setattr(asking, "answer", knowing)
    home = ("--home", str(tmp_path))
    report, records = build("d", "--annotator", "bank:grounding", *home)
    assert report["pictures"]["kept"] > PICTURES / 2
    assert {bool(where.fullmatch(text)): bank for text, bank in knowing.asked} == {True: "grounding", False: None}
    by = next(things_of(records))[1]["by"]
    assert by["annotator"] == "tiny/grounding@1" and where.fullmatch(by["prompt"])
    for name, words in (("bank:counting", "is of kind counting"), ("bank:boats", "no such task")):
        assert words in build.refused("--annotator", name, *home)


def test_boxes_of_voc_are_given_boxes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its boxes count pixels from 1 and hold the last one; a category is asked for by the words that are wanted."""
    things = {f"{i:03}": [("WBC", 1, 1, 20, 15), ("RBC", 21, 16, 40, 30)] for i in range(4)}
    folder = write_voc(tmp_path / "voc", things, {"train": list(things)})
    for number in range(4):  # pictures that do not look alike
        noise = np.random.default_rng(number).integers(0, 256, (30, 40, 3), np.uint8)
        Image.fromarray(noise).save(folder / "JPEGImages" / f"{number:03}.jpg")
    more = ("--annotator", "oracle", "--boxes", f"voc:{folder}", "--categories", "WBC=white blood cell")
    report, records = Building(folder / "JPEGImages", tmp_path, capsys)("d", *more)
    assert report["refused"]["off the list"] == 4
    for _, thing in things_of(records):
        assert thing["label"] == "white blood cell" and thing["box"] == [0.0, 0.0, 0.5, 0.5]
        assert thing["by"]["annotator"] == "voc xml"


@pytest.mark.slow
def test_a_bank_learns_from_what_was_built(tmp_path: Path, build: Building) -> None:
    given = ("--annotator", "oracle", "--boxes", f"coco:{build.photos.parent / 'boxes.json'}")
    build("d", *given)
    home = tmp_path / "home"
    arguments = ("add-task", "grounding", "--data", f"scout:{tmp_path / 'd'}", "--bank", "lora", "--json", *SHORT)
    facts = json.loads(lynx(*arguments, home=home).stdout)
    assert facts["snapshot"] and "acc_iou50" in facts["tasks"]["grounding"]
