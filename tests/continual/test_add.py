"""The main job end to end on the embedded base, short: real training, real MLflow store, real processes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from lynx_cl.base.nano.phrasings import TEMPLATES
from lynx_cl.data.scenes import make_scene
from lynx_cl.registry import Registry
from lynx_cl.registry.verify import verify
from tests.continual.process import ENVIRONMENT, SHORT, add, lynx


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A home after one short add, and what the add printed."""
    home = tmp_path_factory.mktemp("add") / "home"
    return home, json.loads(add(home).stdout)


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("picture") / "scene.png"
    make_scene("test", 0, 3).image.resize((192, 144)).save(path)
    return path


def test_add_prints_the_agreed_keys(learned):
    _, facts = learned
    assert set(facts) == {"tasks", "forgetting", "loss", "growth", "routing", "run_id", "seconds", "digest", "snapshot"}
    assert {"acc_iou50", "mean_iou", "parse_failure"} <= facts["tasks"]["grounding"].keys()
    assert set(facts["routing"]) == {"accuracy", "confusion"}


def test_the_base_forgets_nothing_when_it_is_asked_for(learned):
    _, facts = learned
    assert facts["forgetting"]["task_given"] == {"base": 0.0}
    assert {task: parts["bank"] for task, parts in facts["loss"].items()} == {"base": 0.0, "grounding": 0.0}
    for task, parts in facts["loss"].items():
        (metric,) = (name for name in facts["tasks"][task] if name.endswith("_task_given"))
        scores = facts["tasks"][task]
        assert parts["routing"] == scores[metric] - scores[metric.removesuffix("_task_given")]


def test_certificate_proves_equal_logits_and_frozen_tensors(learned):
    home, _ = learned
    proof = json.loads(lynx("registry", "show", "grounding", "--certificate", "--json", home=home).stdout)
    assert proof["logits_before"]["base"] == proof["logits_after"]["base"]
    assert proof["frozen_before"] == proof["frozen_after"]
    assert proof["base"]["name"] == "nano" and proof["banks_before"] == {}
    assert set(proof["router_error_before"]) == {"base"} and proof["router_error_before"]["base"] < 0.2
    assert set(proof["router_error_after"]) == {"base", "grounding"}


def test_every_promise_of_a_certificate_is_run_again(learned, tmp_path):
    home = copy(learned, tmp_path)
    told = json.loads(lynx("registry", "verify", "--deep", "--json", home=home).stdout)
    assert told["ok"] and {(p["task"], p["promise"], p["holds"]) for p in told["promises"]} == {
        ("base", "fingerprint", True),
        ("grounding", "logits of base", True),
        ("grounding", "logits of grounding", True),
        ("grounding", "parameters", True),
        ("grounding", "router error on calibration requests", True),
    }


def test_a_bank_that_answers_otherwise_is_found(learned, tmp_path):
    """Every byte is as it was written, yet it is not what the certificate was made of."""
    home = copy(learned, tmp_path)
    registry = Registry(home / "registry")
    version = registry.task("grounding")
    tensors = safetensors.numpy.load(registry.read(version.bank))
    name = next(name for name in tensors if name.endswith("alpha"))
    parts = {
        "bank": safetensors.numpy.save({**tensors, name: np.asarray(tensors[name] + 1)}),
        "router": registry.read(version.manifest.files["router"]),
    }
    proof = {"certificate": registry.read(version.record.files["certificate"])}
    registry.add(version.manifest, parts, version.record, record_files=proof, update=True)
    done = lynx("registry", "verify", "--deep", home=home, check=False)
    assert done.returncode == 1 and "promises broken: logits of grounding" in done.stderr
    assert lynx("registry", "verify", home=home).returncode == 0


def test_registry_lists_and_verifies(learned):
    home, facts = learned
    (row,) = json.loads(lynx("registry", "list", "--json", home=home).stdout)
    keys = {"task", "version", "kind", "parameters", "growth_total", "growth_active", "base", "digest", "created"}
    assert set(row) == keys
    assert row["digest"] == facts["digest"]
    assert verify(Registry(home / "registry")) == []


def test_growth_equals_a_count_by_hand(learned):
    """nano: hidden 192, three taps of four experts with 384 inner units each, a gate, alpha; top 2 are active."""
    home, _ = learned
    (row,) = json.loads(lynx("registry", "list", "--json", home=home).stdout)
    expert, gate, alpha = 3 * 192 * 384, 4 * 192, 1
    assert row["parameters"] == 3 * (4 * expert + gate + alpha)
    base = json.loads(lynx_base_show())["parameters"]
    assert row["growth_total"] == pytest.approx(row["parameters"] / base)
    active_base = base - 3 * 2 * expert
    assert row["growth_active"] == pytest.approx(3 * (2 * expert + gate + alpha) / active_base)


def lynx_base_show() -> str:
    return subprocess.run(
        [sys.executable, "-m", "lynx_cl", "base", "show", "nano", "--json"],
        capture_output=True,
        text=True,
        check=True,
        env=ENVIRONMENT,
    ).stdout


def test_mlflow_holds_the_run_by_stage(learned):
    home, facts = learned
    with sqlite3.connect(home / "mlflow.db") as store:
        rows = store.execute("select key, step from metrics where run_uuid = ?", (facts["run_id"],)).fetchall()
        (status,) = store.execute("select status from runs where run_uuid = ?", (facts["run_id"],)).fetchone()
    assert status == "FINISHED"
    assert {("score/base", 0), ("score/base", 1), ("score/grounding", 0), ("score/grounding", 1)} <= set(rows)
    assert any(key == "growth/total" for key, _ in rows)
    assert {("loss/bank/base", 0), ("loss/routing/base", 1), ("loss/bank/grounding", 1)} <= set(rows)
    assert ("loss/bank/grounding", 0) not in rows
    assert list((home / "mlartifacts").rglob("forgetting.png")) and list((home / "mlartifacts").rglob("samples.png"))


def test_ask_answers_in_pixels_of_the_given_picture(learned, picture, tmp_path):
    home, _ = learned
    out = tmp_path / "out.png"
    asked = lynx("ask", str(picture), "How many objects are there?", "--json", "--save", str(out), home=home)
    facts = json.loads(asked.stdout)
    assert set(facts) == {"text", "task", "boxes", "candidates"} and facts["task"] == "base" and facts["boxes"] == []
    words = ("one", "two", "three", "four", "five", "six")
    assert facts["text"] == words[len(make_scene("test", 0, 3).objects) - 1]
    assert out.exists()


def test_route_tells_base_and_grounding_apart(learned):
    home, _ = learned
    for prompt, task in (("Draw a box around the dog.", "grounding"), ("What size is the dog?", "base")):
        facts = json.loads(lynx("route", prompt, "--json", home=home).stdout)
        assert facts["task"] == task
        assert set(facts) >= {"task", "abstained", "probabilities", "nearest"}
        assert set(facts["nearest"][0]) == {"text", "task", "similarity"}


def test_evaluate_agrees_with_the_add(learned):
    home, facts = learned
    told = json.loads(lynx("evaluate", "--json", "--examples", "12", "--questions", "24", home=home).stdout)
    assert told["tasks"] == facts["tasks"]
    assert set(told) == {"tasks", "forgetting", "loss", "growth", "routing"} and told["loss"] == facts["loss"]
    assert told["forgetting"]["task_given"] == {"base": 0.0, "grounding": 0.0}


def everything(home: Path) -> dict[str, bytes]:
    """Every file of a home but those of MLflow, which keeps refused runs too."""
    files = {path.relative_to(home): path for path in home.rglob("*") if path.is_file()}
    return {str(name): path.read_bytes() for name, path in files.items() if not name.parts[0].startswith("ml")}


def test_a_dry_run_and_a_closed_gate_commit_nothing(learned, tmp_path):
    home = copy(learned, tmp_path)
    before = everything(home)
    done = lynx("update-task", "grounding", "--max-growth", "30", *SHORT, home=home, check=False)
    assert done.returncode == 1
    assert "its bank would be 39.4 % of the base, --max-growth allows 30 %" in done.stderr
    facts = json.loads(lynx("update-task", "grounding", "--dry-run", "--json", *SHORT, home=home).stdout)
    assert facts["snapshot"] is None and "grounding" in facts["tasks"]
    assert everything(home) == before


def test_a_first_add_that_is_refused_leaves_its_run_alone(tmp_path):
    home = tmp_path / "home"
    assert add(home, "--max-growth", "1", check=False).returncode == 1
    assert everything(home) == {} and (home / "mlflow.db").exists()


WAYS = [way for ways in TEMPLATES.values() for way in ways if re.findall(r"{(.*?)}", way) in (["a"], ["x"])]
COVETED = [way.replace("{a}", "a {x}") for way in WAYS]
COVETOUS = "\n".join(["train:", *COVETED, "test:", "Do you spot a {x}?", "Is the {x} a large one?"]) + "\n"


def test_an_add_that_makes_an_earlier_task_forget_is_refused(learned, tmp_path):
    """A task that is asked for in the base's own words draws the base's requests, and answers them badly."""
    home = copy(learned, tmp_path)
    before = everything(home)
    card = tmp_path / "covetous"
    card.mkdir()
    facts = {"name": "covetous", "title": "c", "description": "c", "kind": "grounding", "metric": "acc_iou50"}
    (card / "task.yaml").write_text(json.dumps({**facts, "source": "scenes"}))
    (card / "prompts.txt").write_text(COVETOUS)
    arguments = ["add-task", str(card), *SHORT, "data.limit=200", "train.learning_rate=0.5", "--bank", "lora"]
    arguments += ["evaluation.understanding=26"]  # other questions than the first add's, so they are asked before too
    done = lynx(*arguments, "--max-forgetting", "1", home=home, check=False)
    said = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and "task 'covetous' refused: base would lose" in said, done.stderr
    assert "measure: base before the add, which was scored on other examples" in done.stderr
    assert "--max-forgetting allows 1" in said and "covetous (" in said and "what helps: prompts that differ" in said
    assert everything(home) == before
    with sqlite3.connect(home / "mlflow.db") as store:
        rows = store.execute("select run_uuid, status from runs order by start_time").fetchall()
        assert [status for _, status in rows] == ["FINISHED", "FAILED"]
        ask = "select value from metrics where run_uuid = ? and key = 'score/base' and step = 2"
        assert len(store.execute(ask, (rows[-1][0],)).fetchall()) == 1


def test_an_update_is_a_new_version_beside_the_old_one(learned, tmp_path):
    home = copy(learned, tmp_path)
    first = Registry(home / "registry").task("grounding")
    facts = json.loads(lynx("update-task", "grounding", "--json", *SHORT, home=home).stdout)
    registry = Registry(home / "registry")
    assert registry.task("grounding").version == 2 and registry.task("grounding").bank == facts["digest"]
    assert registry.task("grounding@1").bank == first.bank != facts["digest"]
    again = lynx("update-task", "grounding", "--bank", "lora", *SHORT, home=home, check=False)
    assert again.returncode == 2 and "add --anew" in again.stderr
    assert lynx("update-task", "cells", *SHORT, home=home, check=False).returncode == 2
    assert registry.log()[-1].command == "update-task" and verify(registry) == []


def copy(learned, folder: Path) -> Path:
    return Path(shutil.copytree(learned[0], folder / "home"))


def test_adding_again_is_refused_and_changes_nothing(learned):
    home, _ = learned
    before = (home / "registry" / "head").read_bytes()
    done = add(home, check=False)
    assert done.returncode == 1
    assert "task 'grounding' is in" in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert (home / "registry" / "head").read_bytes() == before


@pytest.mark.parametrize(
    "arguments, code, words",
    [
        (["add-task", "groundnig", "--data", "scout"], 2, "task 'groundnig' is unknown"),
        (["add-task", "grounding", "--data", "scuot"], 2, "did you mean scout"),
        (["add-task", "grounding", "--data", "scout", "--bank", "twins"], 2, "known: block, external, lora, twin"),
        (["add-task", "grounding", "--data", "scout", "train.stesp=3"], 2, "key 'train.stesp'"),
        (["add-task", "grounding", "--data", "scout", "train.steps=x"], 2, "train.steps"),
        (["add-task", "grounding", "--data", "voc:nowhere"], 2, "no folder "),
        (["add-task", "grounding", "--data", "scout", "--base", "./nowhere"], 2, "no such folder"),
        (["ask", "nowhere.png", "What is it?"], 1, "nowhere.png: no such picture"),
        (["ask", "a.png", "What is it?", "--route-error", "1"], 2, "--route-error 1: give a share of requests"),
        (["ask", "a.png", "What is it?", "--several", "both"], 2, "'top', 'mix', 'ask'"),
        (["ask", "a.png", "What is it?", "--task", "base", "--plan"], 2, "--task leaves nothing to route"),
        (["evaluate", "--route-error", "nan"], 2, "--route-error nan: give a share of requests"),
        (["evaluate", "--composed"], 1, "has no task of kind grounding and none of kind counting"),
        (["evaluate", "--composed", "--several", "mix"], 2, "leave out --several"),
    ],
)
def test_mistakes_are_one_line_and_fast(tmp_path, arguments, code, words):
    home = tmp_path / "home"
    done = lynx(*arguments, home=home, check=False)
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (code, 1), done.stderr
    assert words in done.stderr
    assert not (home / "registry").exists()


def test_killed_in_training_leaves_no_trace_and_resumes(tmp_path):
    home = tmp_path / "home"
    arguments = ["add-task", "grounding", "--data", "scout", "--home", str(home), *SHORT]
    arguments[-6] = "train.steps=400"
    process = subprocess.Popen(
        [sys.executable, "-m", "lynx_cl", *arguments], stderr=subprocess.DEVNULL, env=ENVIRONMENT
    )
    checkpoint = home / "checkpoints" / "grounding" / "last.safetensors"
    deadline = time.monotonic() + 400
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert checkpoint.exists()
    assert not Registry(home / "registry").exists()
    done = lynx(*arguments[:4], *arguments[6:], "--resume", "--max-minutes", "0.01", "--json", home=home)
    facts = json.loads(done.stdout)
    assert "grounding" in facts["tasks"]
    assert verify(Registry(home / "registry")) == []
