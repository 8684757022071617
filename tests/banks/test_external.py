"""External banks on tiny detectors that transformers saved: boxes where the detector says, beside banks in the base."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import safetensors.torch
import torch
from PIL import Image
from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

from lynx_cl.banks.attach import attach
from lynx_cl.banks.base import bank_bytes, build_bank, load_bank
from lynx_cl.banks.external import ExternalBank, answer_outside, detector_folder
from lynx_cl.banks.growth import growth, total_parameters
from lynx_cl.base.load import Base, load_base
from lynx_cl.base.taps import find_taps
from lynx_cl.continual.certificate import probe_digests
from lynx_cl.data.grammar import get_grammar
from lynx_cl.errors import LynxError, UsageError
from lynx_cl.evaluation.generate import Request, answer
from tests.banks.detectors import DETECTORS
from tests.banks.test_attach import disturbed
from tests.evaluation.test_generate import picture, processor
from tests.families.tiny import tiny_base

PHRASINGS = ["Locate {x}.", "Where is {x}?", "Draw a box around {x}."]


@pytest.fixture(scope="module")
def base() -> Base:
    return replace(tiny_base(), processor=processor())


@pytest.fixture(scope="module", params=sorted(DETECTORS))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return DETECTORS[request.param](tmp_path_factory.mktemp("detectors") / request.param)


def bank_of(folder: Path, base: Base, **more: Any) -> ExternalBank:
    bank = build_bank("external", [], base.model, {"model": str(folder), "phrasings": PHRASINGS, **more}, 0)
    assert isinstance(bank, ExternalBank)
    return bank


def by_hand(folder: Path, thing: str, image: Image.Image) -> tuple[float, float, float, float]:
    """The likeliest box, in pixels of the picture, from the model's own output, without its processor's last step."""
    model, processor = (
        AutoModelForZeroShotObjectDetection.from_pretrained(folder),
        AutoProcessor.from_pretrained(folder),
    )
    with torch.no_grad():
        output = model(**processor(images=image, text=[[thing]], return_tensors="pt"))
    best = output.logits[0].max(-1).values.argmax()
    x, y, w, h = output.pred_boxes[0, best].tolist()
    width, height = image.size
    if "owlv2" in folder.name:  # looks at the picture in the corner of a square
        width = height = max(width, height)
    return (x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height


@pytest.mark.parametrize("size", [(90, 40), (40, 90), (64, 64)])
def test_boxes_are_those_of_the_detector_in_the_picture_s_own_pixels(
    folder: Path, base: Base, size: tuple[int, int]
) -> None:
    bank, image = bank_of(folder, base), picture(1, size)
    scores, boxes = bank.detect("dog", image)
    assert boxes[scores.argmax()].tolist() == pytest.approx(by_hand(folder, "dog", image), abs=1e-3)


@pytest.mark.parametrize("grammar", ["keyed", "brackets"])
def test_answers_are_boxes_in_the_task_s_grammar(folder: Path, base: Base, grammar: str) -> None:
    bank, image = bank_of(folder, base, grammar=grammar), picture(1, (90, 40))
    ((label, box),) = get_grammar(grammar).parse(bank.answer("Where is the dog?", image))
    scores, boxes = bank.detect("dog", image)
    inside = boxes.clamp(min=0).minimum(torch.tensor([90.0, 40.0, 90.0, 40.0]))
    best = next(i for i in scores.argsort(descending=True) if (inside[i, 2:] > inside[i, :2]).all())
    assert label is None
    assert [side * of for side, of in zip(box, (90, 40, 90, 40), strict=True)] == pytest.approx(
        inside[best].tolist(), abs=1.01
    )
    assert bank.answer("Where is the dog?", None) == ""


@pytest.mark.parametrize(
    ("text", "thing"),
    [
        ("Locate the small dog.", "small dog"),
        ("where is a cat?", "cat"),
        ("Draw a box around the box.", "box"),
        ("Please locate the cat left of the dog", "Please locate the cat left of the dog"),
        ("Around where is the red car?", "red car"),
        ("dog", "dog"),
        ("Where?", "Where"),
    ],
)
def test_the_thing_asked_for(base: Base, folder: Path, text: str, thing: str) -> None:
    assert bank_of(folder, base).thing(text) == thing


def test_a_long_request_is_cut_to_what_the_detector_reads(folder: Path, base: Base) -> None:
    assert bank_of(folder, base).answer("the dog " * 100, picture(1, (50, 50)))


def test_rows_of_a_detector_are_answered_beside_banks_and_base(folder: Path, base: Base) -> None:
    taps = find_taps(base.model)
    twin = disturbed(build_bank("twin", taps, base.model, {}, 0), 0)
    requests = [Request("Where is the dog?" if i % 3 == 0 else "w1 w2", picture(i, (30 + i, 40))) for i in range(7)]
    owners = [("far", "near", None)[i % 3] for i in range(7)]
    with attach(base.model, taps) as attachment:
        attachment.add("near", twin)
        without = answer(
            base, attachment, requests, ["near" if o == "near" else None for o in owners], max_new_tokens=4
        )
        attachment.add("far", bank := bank_of(folder, base))
        told = answer(base, attachment, requests, owners, max_new_tokens=4)
        alone = answer(base, attachment, requests, owners, max_new_tokens=4, batch_size=1)
        swapped = answer(base, attachment, requests[::-1], owners[::-1], max_new_tokens=4)
    assert told == alone == swapped[::-1]
    for i, owner in enumerate(owners):
        assert told[i] == (bank.answer(requests[i].text, requests[i].image) if owner == "far" else without[i])
    assert {told[i] for i in (0, 3, 6)}.isdisjoint(without)


def test_a_mix_is_answered_by_whoever_has_most_of_it(folder: Path, base: Base) -> None:
    banks: dict[str, Any] = {
        "far": bank_of(folder, base),
        "near": build_bank("twin", find_taps(base.model), base.model, {}, 0),
    }
    for owner, outside in (
        ("far", True),
        ({"far": 0.6, "near": 0.4}, True),
        ({"far": 0.4, "near": 0.6}, False),
        ({"far": 0.4}, False),  # the rest, and so the most, is the base's
        (None, False),
        ("near", False),
    ):
        assert (answer_outside(banks, owner) is banks["far"]) is outside


def test_growth_counts_the_detector(folder: Path, base: Base) -> None:
    bank = bank_of(folder, base)
    own = total_parameters(AutoModelForZeroShotObjectDetection.from_pretrained(folder))
    grown = growth(bank, base.model)
    assert grown.parameters == grown.active_parameters == own > 1000
    assert grown.total == own / total_parameters(base.model)
    assert list(bank.parameters()) == []  # nothing that could be trained


def test_a_registry_keeps_name_and_digest_and_no_path(folder: Path, base: Base, tmp_path: Path) -> None:
    bank, image = bank_of(folder, base), picture(1, (90, 40))
    config = bank.bank_config()
    assert config["model"] == folder.name and str(folder.parent) not in str(config)
    manifest = SimpleNamespace(kind="external", base=base.fingerprint, bank_config=config)
    data = bank_bytes(bank)
    (kept,) = safetensors.torch.load(data).values()
    assert bytes(kept.tolist()).hex() == config["digest"]
    again: Any = load_bank(manifest, data, base)
    with pytest.raises(LynxError, match=f"detector {folder.name} .*not found, or changed, in"):
        again.answer("Where is the dog?", image)
    again = load_bank(manifest, data, base)
    again.places = (tmp_path / "nowhere", folder)
    assert again.answer("Where is the dog?", image) == bank.answer("Where is the dog?", image)


def test_a_changed_detector_is_refused(folder: Path, base: Base, tmp_path: Path) -> None:
    config, data = bank_of(folder, base).bank_config(), bank_bytes(bank_of(folder, base))
    other = shutil.copytree(folder, tmp_path / folder.name)
    tensors = safetensors.torch.load_file(other / "model.safetensors")
    name = min(tensors)
    safetensors.torch.save_file({**tensors, name: tensors[name] + 1}, other / "model.safetensors", {"format": "pt"})
    bank: Any = load_bank(SimpleNamespace(kind="external", base=base.fingerprint, bank_config=config), data, base)
    bank.places = (other,)
    with pytest.raises(LynxError, match="changed"):
        bank.answer("dog", picture(1))
    shutil.copy(folder / "model.safetensors", other)
    (other / "processor_config.json").write_text((other / "processor_config.json").read_text() + " ")
    with pytest.raises(LynxError, match="changed"):
        bank.answer("dog", picture(1))
    with pytest.raises(LynxError, match="not of the detector"):
        bank_of(other, base).load_state(safetensors.torch.load(data))


def test_retention_is_proven_of_a_detector_s_own_output(folder: Path) -> None:
    nano = load_base("nano")
    other = DETECTORS[folder.name](folder.with_name(f"{folder.name}-other"), seed=1)
    probes = []
    for place in (folder, folder, other):
        with attach(nano.model, []) as attachment:
            attachment.add("far", bank_of(place, nano))
            probes.append(probe_digests(nano, attachment))
    first, again, changed = probes
    assert first == again and first.logits["far"] != first.logits["base"] == changed.logits["base"]
    assert changed.logits["far"] != first.logits["far"]


def test_wrong_detectors(tmp_path: Path, base: Base) -> None:
    with pytest.raises(UsageError, match="key 'model' is missing"):
        build_bank("external", [], base.model, {}, 0)
    with pytest.raises(UsageError, match="detector .*nowhere: no such folder"):
        detector_folder(str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="no config.json with"):
        detector_folder(str(tmp_path))
    base.model.save_pretrained(tmp_path / "llava")
    with pytest.raises(LynxError, match="no zero-shot object detection model"):
        growth(bank_of(tmp_path / "llava", base), base.model)
