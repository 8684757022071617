"""The guard against scoring a bank on the labels of the model it learned from, in adds, updates and evaluations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lynx_cl.banks.base import bank_bytes
from lynx_cl.base.load import Base
from lynx_cl.cli.main import main
from lynx_cl.continual import evaluate, measure
from lynx_cl.continual.across import read_test, score_across
from lynx_cl.continual.learned import learned
from lynx_cl.continual.measure import TaskUnderTest
from lynx_cl.continual.plan import Plan, labels_of, make_plan
from lynx_cl.data.annotators import Labels
from lynx_cl.errors import LynxError
from lynx_cl.evaluation.generate import answer
from lynx_cl.home import Home
from lynx_cl.registry import Registry
from lynx_cl.router.stored import load_router
from tests.continual.learned_tiny import learned_base, learned_registry
from tests.continual.test_policy import example, scored
from tests.data.folders import small_voc
from tests.registry.samples import BASE, files, manifest, record


def registry_of(path: Path, **tasks: dict[str, Any]) -> Registry:
    """A registry of tasks of these data."""
    registry = Registry(path / "registry")
    registry.init(BASE, "nano", files={"router": b"statistics of the base"})
    for task, data in tasks.items():
        registry.add(manifest(task, data={"source": "voc", **data}), files(task), record())
    return registry


def plan(home: Path, task: str, spec: str, **more: Any) -> Plan:
    return make_plan(Home(home), task, data=spec, base="nano", kind=None, **more)


def test_an_add_on_shared_labels_is_refused_unless_told(tmp_path: Path) -> None:
    folder = small_voc(tmp_path / "voc")
    spec = f"voc:{folder}?annotator=owlv2"
    with pytest.raises(LynxError, match=r"'cells' \(owlv2\): .* give --allow-shared-annotator"):
        plan(tmp_path, "cells", spec)
    assert plan(tmp_path, "cells", spec, allow_shared=True).labels.shared
    assert plan(tmp_path, "cells", f"{spec}&test_annotator=people").labels == Labels("cells", ("owlv2",), ("people",))
    assert plan(tmp_path, "cells", f"voc:{folder}").labels == Labels("cells", ("voc xml",), ("voc xml",))


def test_an_add_scores_the_tasks_before_it_too(tmp_path: Path) -> None:
    registry_of(tmp_path, grounding={"annotator": "owlv2"}, counting={"annotator": "oracle"})
    spec = f"voc:{small_voc(tmp_path / 'voc')}"
    with pytest.raises(LynxError, match=r"task 'grounding' \(owlv2\): its test labels"):
        plan(tmp_path, "cells", spec)
    plan(tmp_path, "cells", spec, allow_shared=True)


def test_who_confirmed_labels_had_a_part_in_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """People's boxes that a detector confirmed, of which it left out what it does not see: in training and in tests."""
    kept = Labels("cells", ("coco json", "dino"), ("coco json", "dino"))
    own = {"annotator": "coco json", "confirmed_by": ["dino"]}
    registry = registry_of(tmp_path, cells=own, apart={**own, "test_annotator": "people"})
    assert labels_of(registry.task("cells")) == kept and kept.shared == ("dino",)
    assert not labels_of(registry.task("apart")).shared
    assert main(["evaluate", "--home", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "task 'cells' (dino)" in error and "apart" not in error and error.count("\n") == 1


def test_an_update_remembers_whose_labels_its_bank_began_from(tmp_path: Path) -> None:
    registry_of(tmp_path, cells={"annotator": "dino", "test_annotator": "people", "annotators": ["owlv2", "dino"]})
    assert labels_of(Registry(tmp_path / "registry").task("cells")) == Labels("cells", ("owlv2", "dino"), ("people",))
    folder = small_voc(tmp_path / "voc")
    spec = f"voc:{folder}?annotator=people&test_annotator=owlv2"
    with pytest.raises(LynxError, match=r"'cells' \(owlv2\)"):
        plan(tmp_path, "cells", spec, update=True)
    assert plan(tmp_path, "cells", spec, update=True, anew=True).labels == Labels("cells", ("people",), ("owlv2",))
    kept = plan(tmp_path, "cells", f"voc:{folder}", update=True)
    assert kept.labels.trained == ("owlv2", "dino", "voc xml")


@pytest.fixture
def evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of two tasks on the tiny base; grounding learned from a model's labels and is tested on people's."""
    base: Base = learned_base()
    learned_registry(
        tmp_path / "registry",
        base,
        "counting",
        "grounding",
        data={
            "counting": {"annotator": "oracle"},
            "grounding": {"annotator": "owlv2", "test_annotator": "people"},
        },
    )

    def short(base: Base, attachment: Any, requests: Sequence[Any], banks: Sequence[Any], **_: Any) -> list[str]:
        return answer(base, attachment, requests[:2], banks[:2], max_new_tokens=4) + [""] * len(requests[2:])

    monkeypatch.setattr(measure, "answer", short)
    monkeypatch.setattr(evaluate, "load_base", lambda name: base)
    tests = [TaskUnderTest(name, [example(0, f"{name} dogs")], scored, "letters") for name in ("counting", "grounding")]
    monkeypatch.setattr(evaluate, "tests", lambda *_: tests)
    return tmp_path


def test_evaluate_tells_who_labelled_what_in_a_matrix(evaluated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = small_voc(evaluated / "voc")
    more = ("--test", f"grounding=voc:{folder}", "--test", f"grounding=voc:{folder}?annotator=dino")
    assert main(["evaluate", *more, "--json", "--home", str(evaluated)]) == 0
    told = json.loads(capsys.readouterr().out)
    scores = told["annotators"]
    assert {trained: list(cells) for trained, cells in scores.items()} == {
        "oracle": ["oracle"],
        "owlv2": ["people", "voc xml", "dino"],
    }
    assert scores["owlv2"]["people"] == {"grounding": told["tasks"]["grounding"]["letters"]}
    assert 0 <= scores["owlv2"]["voc xml"]["grounding"] <= 1
    assert main(["evaluate", *more, "--home", str(evaluated)]) == 0
    out = capsys.readouterr().out
    assert "learned from labels of\ttask\ttested on oracle\ttested on people\ttested on voc xml\ttested on dino" in out


def test_versions_trained_on_other_labels_are_tested_across(
    evaluated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two versions, each on the other's labels: a row for each annotator that was learned from."""
    registry = Registry(evaluated / "registry")
    first = registry.task("grounding")
    other = registry.read(registry.task("counting").bank)
    changed = first.manifest.model_copy(update={"data": {"annotator": "dino", "test_annotator": "people"}})
    router = registry.read(first.manifest.files["router"])
    registry.add(changed, {"bank": other, "router": router}, update=True)
    folder = small_voc(evaluated / "voc")
    by = {name: f"voc:{folder}?annotator={name}" for name in ("owlv2", "dino")}
    home = ("--home", str(evaluated))
    more = ("--test", f"grounding@1={by['dino']}", "--test", f"grounding@2={by['owlv2']}", *home)
    assert main(["evaluate", *more, "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)["annotators"]
    assert list(scores["owlv2"]) == ["dino"] and list(scores["owlv2"]["dino"]) == ["grounding@1"]
    assert list(scores["dino"]) == ["people", "owlv2"] and list(scores["dino"]["owlv2"]) == ["grounding@2"]
    assert main(["evaluate", "--test", f"grounding@1={by['owlv2']}", *home]) == 1
    assert "task 'grounding@1' (owlv2)" in capsys.readouterr().err
    assert main(["evaluate", "--test", f"grounding@3={by['dino']}", *home]) == 2
    assert "no version '3'" in capsys.readouterr().err


def test_an_earlier_version_answers_itself(evaluated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bank of the version that is asked for answers, not the current one."""
    registry = Registry(evaluated / "registry")
    first = registry.task("grounding")
    other = registry.read(registry.task("counting").bank)
    router = registry.read(first.manifest.files["router"])
    registry.add(first.manifest, {"bank": other, "router": router}, update=True)
    asked: list[Any] = []

    def looked(base: Base, attachment: Any, requests: Sequence[Any], banks: Sequence[Any], **_: Any) -> list[str]:
        asked.append({name: bank_bytes(bank) for name, bank in attachment.banks.items() if name == "grounding"})
        return [""] * len(requests)

    monkeypatch.setattr(measure, "answer", looked)
    base, spec = learned_base(), f"voc:{small_voc(evaluated / 'voc')}"
    known = learned(registry, base)
    router_now = load_router(registry, None, base)
    for address, bank in (("grounding@1", registry.read(first.bank)), ("grounding", other)):
        asked.clear()
        one = read_test(registry, f"{address}={spec}")
        score_across(registry, base, known, router_now, one, one.open(base), 4)
        assert asked[0] == {"grounding": bank}


def test_evaluate_refuses_shared_labels(evaluated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shared = ("--test", f"grounding=voc:{small_voc(evaluated / 'voc')}?annotator=owlv2", "--home", str(evaluated))
    assert main(["evaluate", *shared]) == 1
    error = capsys.readouterr().err
    assert "task 'grounding' (owlv2)" in error and error.count("\n") == 1
    assert main(["evaluate", "--allow-shared-annotator", "--json", *shared]) == 0
    assert "owlv2" in json.loads(capsys.readouterr().out)["annotators"]["owlv2"]


@pytest.mark.parametrize(
    ("test", "message"), [("grounding", "give it as TASK=SOURCE"), ("boats=scout", "no task 'boats'; known: counting")]
)
def test_wrong_tests(evaluated: Path, test: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--test", test, "--home", str(evaluated)]) == 2
    assert message in capsys.readouterr().err
