"""The further stages of pretraining, from a finished base on: one step of each, and what comes of them."""

from __future__ import annotations

import json

import pytest
import torch

from lynx_cl.base.nano.checkpoints import adopt
from lynx_cl.base.nano.pretrain import FIRST, RECIPE, Nano, prepare, pretrain, trained_parts
from lynx_cl.errors import UsageError
from lynx_cl.home import shipped

NANO = shipped("registry") / "bases" / "nano"


def test_one_step_of_each_further_stage_makes_a_base(tmp_path):
    from transformers import AutoModelForImageTextToText

    folder = pretrain(tmp_path, lambda line: None, steps_scale=0.0004, start=NANO)
    assert folder == tmp_path / "base"
    stages = [json.loads(line)["stage"] for line in (folder / "pretraining.jsonl").read_text().splitlines()]
    assert list(dict.fromkeys(stages)) == [stage.name for stage in RECIPE]
    assert stages.count("wider") == 1 and stages.count("sparse") > 1
    before, after = (
        AutoModelForImageTextToText.from_pretrained(place, dtype=torch.float32) for place in (NANO, folder)
    )
    changed = {name for name, value in after.state_dict().items() if not torch.equal(value, before.state_dict()[name])}
    assert any("vision_tower" in name for name in changed) and any("language_model" in name for name in changed)
    assert (folder / "tokenizer.json").read_bytes() == (NANO / "tokenizer.json").read_bytes()


def test_what_is_adopted_are_the_weights_of_the_base(tmp_path):
    from transformers import AutoModelForImageTextToText

    adopt(NANO, tmp_path)
    nano = Nano(tmp_path, wider=True)
    prepare(nano, "signs", tmp_path)
    base = AutoModelForImageTextToText.from_pretrained(NANO, dtype=torch.float32).state_dict()
    own = nano.model.state_dict()
    assert own.keys() == base.keys() and all(torch.equal(own[name], base[name]) for name in base)
    seeing, language = trained_parts(nano, "signs")
    assert seeing and not language


def test_a_folder_without_a_finished_base_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no pretraining.jsonl in it"):
        pretrain(tmp_path / "out", lambda line: None, start=tmp_path)


def test_the_first_four_stages_are_those_of_the_shipped_log():
    lines = [json.loads(line) for line in (NANO / "pretraining.jsonl").read_text().splitlines()]
    last = {line["stage"]: line["step"] for line in lines}
    assert {stage.name: stage.steps for stage in RECIPE if stage.name in FIRST} == {n: last[n] for n in FIRST}
