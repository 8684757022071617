"""The detector beside nano: what it is asked is true, its loss is about the right boxes, it finds things."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForZeroShotObjectDetection
from transformers.loss.loss_for_object_detection import generalized_box_iou

from lynx_cl.banks.external import ExternalBank, ExternalConfig, detector_folder
from lynx_cl.base.dino.model import TOKENS, build_processor, vocabulary
from lynx_cl.base.dino.pretrain import cell_centres, make_batch, overlap, pretrain, proposed_for, requests, within
from lynx_cl.base.nano import pretrain as nano
from lynx_cl.cli.main import main
from lynx_cl.data import refer
from lynx_cl.data.grammar import get_grammar
from lynx_cl.data.scenes import make_scene
from lynx_cl.home import shipped

NANO = shipped("registry") / "bases" / "nano"


def test_what_is_asked_is_there_or_is_not() -> None:
    for index in range(40):
        scene = make_scene("pretrain", 0, index)
        asked = requests(scene, random.Random(index))
        categories = [thing.category for thing in scene.objects]
        assert any(not one.meant and one.phrase not in categories for one in asked)
        for one in asked:
            if one.phrase in categories:
                assert [categories[i] for i in one.meant] == [one.phrase] * categories.count(one.phrase)
            else:
                assert len(one.meant) <= 1


def test_every_token_of_a_phrase_means_its_things_and_no_other_token() -> None:
    processor = build_processor()
    scene = make_scene("pretrain", 0, 5)
    asked = requests(scene, random.Random(3))
    batch = make_batch(processor, [scene], random.Random(3))
    words = processor.tokenizer.convert_ids_to_tokens(batch.inputs["input_ids"][0].tolist())
    for index in range(len(scene.objects)):
        told = [word for word, one in zip(words, batch.meant[0][index].tolist(), strict=False) if one]
        assert told == [word for one in asked if index in one.meant for word in one.phrase.split()]
    assert batch.meant[0].shape == (len(scene.objects), TOKENS)


def test_words_of_scenes_are_words_and_others_are_spelled() -> None:
    tokenizer = build_processor().tokenizer
    rng = random.Random(0)
    for index in range(60):
        scene = make_scene("test", 0, index)
        kind, target = rng.choice(refer.KINDS), rng.randrange(len(scene.objects))
        if (made := refer.propose(kind, target, scene, rng)) is not None:
            said = refer.phrase(made, rng)
            assert tokenizer.tokenize(said) == said.split()
    assert tokenizer.tokenize("zebu") == ["z", "##e", "##b", "##u"]
    assert len(set(vocabulary().values())) == len(vocabulary())


def test_overlaps_are_those_of_transformers() -> None:
    def corners(boxes: torch.Tensor) -> torch.Tensor:
        return torch.cat([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], 1)

    a, b = (torch.rand(20, 4, generator=torch.Generator().manual_seed(seed)) * 0.5 + 0.1 for seed in (0, 1))
    iou, generalised = overlap(a[:, None], b[None])
    assert torch.allclose(generalised, generalized_box_iou(corners(a), corners(b)), atol=1e-5)
    assert overlap(a, a)[0].allclose(torch.ones(20)) and (iou <= 1).all()


def test_cells_and_proposals_stand_for_the_things_they_lie_on() -> None:
    boxes = torch.tensor([[0.5, 0.5, 0.8, 0.8], [0.3, 0.3, 0.2, 0.2]])
    points = torch.tensor([[0.3, 0.3], [0.7, 0.7], [0.02, 0.5]])
    assert within(points, boxes).tolist() == [1, 0, -1]
    proposals = torch.tensor([[0.3, 0.3, 0.2, 0.25], [0.5, 0.5, 0.1, 0.1], [0.5, 0.55, 0.8, 0.8]])
    assert proposed_for(proposals, boxes).tolist() == [1, -1, 0]
    assert cell_centres().shape == (12 * 12 + 6 * 6, 2) and cell_centres()[0].tolist() == pytest.approx([1 / 24] * 2)


def test_the_recipe_makes_a_detector_that_loads_and_is_repeatable(tmp_path: Path) -> None:
    folders = [pretrain(NANO, tmp_path / name, lambda line: None, steps=2, pictures=2) for name in ("a", "b")]
    models = [AutoModelForZeroShotObjectDetection.from_pretrained(folder) for folder in folders]
    assert all(torch.equal(x, y) for x, y in zip(*(m.state_dict().values() for m in models), strict=True))
    assert json.loads((folders[0] / "pretraining.jsonl").read_text())["step"] == 2


def test_the_shipped_one_finds_what_it_is_asked_for() -> None:
    folder = detector_folder("scenes-dino")
    config = ExternalConfig(model="scenes-dino", grammar="keyed", phrasings=("Locate {x}.",))
    bank = ExternalBank.build([], torch.nn.Linear(1, 1), config, torch.Generator())
    assert bank.config.model == "scenes-dino" and bank.folder == folder
    right = []
    for index in range(12):
        scene = make_scene("test", 3, index)
        thing = next(t for t in scene.objects if [o.category for o in scene.objects].count(t.category) == 1)
        ((_, box),) = get_grammar("keyed").parse(bank.answer(f"Locate the {thing.category}.", scene.image))
        found, true = (
            torch.tensor([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0])
            for x0, y0, x1, y1 in (box, [side / 96 for side in thing.box])
        )
        right.append(overlap(found, true)[0].item() >= 0.5)
    assert sum(right) >= 9
    scores = json.loads((folder / "scores.json").read_text())
    assert scores["requests"] == 300 and scores["acc_iou50"] > 0.5


def test_it_has_no_stages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["base", "pretrain", "scenes-dino", "--out", str(tmp_path), "--stage", "tower"]) == 2
    assert "scenes-dino is made in one" in capsys.readouterr().err
    assert main(["base", "pretrain", "other", "--out", str(tmp_path)]) == 2


@pytest.mark.parametrize("name", ["nano", "scenes-dino"])
def test_where_it_cannot_go_is_told_before_it_is_trained(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = tmp_path / "taken"
    taken.touch()
    assert main(["base", "pretrain", name, "--out", str(taken)]) == 1
    assert (
        f"lynx-cl: {taken}: cannot be made (File exists); name another folder with --out\n" in capsys.readouterr().err
    )


def test_threads_are_as_before_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What else the process computes would have other bits."""
    before, during = torch.get_num_threads(), []
    monkeypatch.setattr(nano, "pretrain", lambda *_, **__: during.append(torch.get_num_threads()))
    assert main(["base", "pretrain", "nano", "--out", str(tmp_path), "--threads", str(before + 1)]) == 0
    assert (during, torch.get_num_threads()) == ([before + 1], before)
