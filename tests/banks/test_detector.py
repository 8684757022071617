"""Zero-shot detectors as annotators: what they box hangs on the picture and the name, not on company."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from lynx_cl.banks.detector import DetectorLabeller
from lynx_cl.banks.external import load_detector
from lynx_cl.cli.main import main
from lynx_cl.data.scouted.findings import Shown, Thing
from tests.banks.detectors import DETECTORS
from tests.evaluation.test_generate import picture

NAMES = ("dog", "cat", "red car")
CPU = torch.device("cpu")


@pytest.fixture(scope="module", params=sorted(DETECTORS))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    make: Callable[[Path], Path] = DETECTORS[request.param]
    return make(tmp_path_factory.mktemp("detectors") / request.param)


def shown() -> list[Shown]:
    """Pictures of two sizes, in turn."""
    return [Shown(f"{n}.png", picture(n, ((60, 40), (48, 64))[n % 2])) for n in range(5)]


def by_name(things: tuple[Thing, ...]) -> dict[str, list[Thing]]:
    return {name: [thing for thing in things if thing.label == name] for name in NAMES}


def test_company_changes_nothing(folder: Path) -> None:
    labeller = DetectorLabeller(str(folder), NAMES, 0.0, CPU)
    together = labeller.label(shown(), None)
    assert all(seen.things for seen in together)
    for one, seen in zip(shown(), together, strict=True):
        (alone,) = labeller.label([one], None)
        assert by_name(alone.things) == by_name(seen.things)
        for name in NAMES:
            (single,) = labeller.label([one], [[name]])
            assert list(single.things) == by_name(seen.things)[name]
        assert all(0 <= t.box[0] < t.box[2] <= 1 and 0 <= t.box[1] < t.box[3] <= 1 for t in seen.things)


def test_boxes_and_scores_are_the_model_s_own(folder: Path) -> None:
    """Against transformers' own call on one picture and one name."""
    one = shown()[0]
    model, processor = load_detector(folder, CPU)
    inputs = processor(images=one.picture, text=[["dog"]], return_tensors="pt")
    with torch.inference_mode():
        output = model(**inputs)
    if "input_ids" not in output:
        output["input_ids"] = inputs["input_ids"]
    width, height = one.picture.size
    (told,) = processor.post_process_grounded_object_detection(
        output, threshold=0.0, target_sizes=[(height, width)], text_labels=[["dog"]]
    )
    (seen,) = DetectorLabeller(str(folder), ["dog"], 0.0, CPU).label([one], None)
    boxes = (told["boxes"] / torch.tensor([width, height, width, height])).clamp(0, 1)
    wide = ((boxes[:, 2:] - boxes[:, :2]) > 0.1 / min(width, height)).all(1)  # rounded, the others have no area
    wide &= told["scores"] >= 5e-5  # nor these a score
    assert len(seen.things) == int(wide.sum()) > 0
    assert [t.score for t in seen.things] == pytest.approx(
        sorted(told["scores"][wide].tolist(), reverse=True), abs=1e-4
    )
    for thing in seen.things:
        apart = (boxes - torch.tensor(thing.box)).abs().amax(1) + (told["scores"] - thing.score).abs()
        assert apart.min() < 0.1 / min(width, height)


def test_what_is_less_sure_is_left_out(folder: Path) -> None:
    (every,) = DetectorLabeller(str(folder), NAMES, 0.0, CPU).label(shown()[:1], None)
    scores = sorted(thing.score for thing in every.things)
    bound = scores[len(scores) // 2]
    (sure,) = DetectorLabeller(str(folder), NAMES, bound, CPU).label(shown()[:1], None)
    assert len(sure.things) == sum(score >= bound for score in scores) < len(scores)
    assert list(sure.things) == [thing for thing in every.things if thing.score >= bound]


def test_scout_is_built_with_it(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every kept thing is one that the detector boxed, and names it, its weights, the words and how sure it was."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(12):
        picture(number, (60, 40)).save(photos / f"{number:02}.png")
    labeller = DetectorLabeller(str(folder), NAMES, 0.0, CPU)
    command = ["data", "build", "scout", "--images", str(photos), "--out", str(tmp_path / "d"), "--json"]
    asked = ["--annotator", f"detector:{folder}", "--categories", ",".join(NAMES), "--score", "0", "--doubled", "0.05"]
    assert main([*command, *asked, "--smallest", "0"]) == 0
    report = json.loads(capsys.readouterr().out)
    records = [json.loads(line) for file in (tmp_path / "d").glob("*.jsonl") for line in file.open()]
    assert report["pictures"]["kept"] == len(records) > 0
    for record in records:
        (seen,) = labeller.label([Shown(record["name"], Image.open(photos / record["name"]).convert("RGB"))], None)
        found = {(thing.label, thing.box, thing.score) for thing in seen.things}
        for thing in record["things"]:
            assert (thing["label"], tuple(thing["box"]), thing["by"]["score"]) in found
            assert thing["by"]["annotator"] == folder.name and thing["by"]["version"] == labeller.maker.version
            assert thing["by"]["prompt"] == thing["label"]
