"""A detector added as a task's bank, end to end on the embedded base: routed to, measured, verified, moved, refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from lynx_cl.cli.main import main
from lynx_cl.data.scenes import make_scene
from tests.banks.detectors import owlv2
from tests.continual.process import SHORT, lynx


def here(capsys: pytest.CaptureFixture[str], home: Path, *arguments: str) -> tuple[int, str, str]:
    """One command in this process: its exit code, and what it printed and noted."""
    capsys.readouterr()
    code = main([*arguments, "--home", str(home)])
    return code, *capsys.readouterr()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose grounding is a detector's, added by a path relative to the working folder."""
    path = tmp_path_factory.mktemp("external") / "home"
    owlv2(path.parent / "owl")
    make_scene("test", 0, 3).image.resize((192, 144)).save(path.parent / "scene.png")
    settings = ("--bank", "external", "bank.external.model=owl")
    lynx("add-task", "grounding", "--data", "scout", *settings, *SHORT, home=path)
    return path


Capture = pytest.CaptureFixture[str]


def test_the_registry_holds_its_name_and_digest_and_no_path(home: Path, capsys: Capture) -> None:
    facts = json.loads(here(capsys, home, "registry", "show", "grounding", "--json")[1])
    assert facts["bank_config"]["model"] == "owl" and len(facts["bank_config"]["digest"]) == 64
    assert facts["kind"] == "external" and facts["parameters"] > 1000 and facts["growth_total"] > 0
    for path in (home / "registry").rglob("*"):
        assert path.is_dir() or str(home.parent / "owl").encode() not in path.read_bytes(), path
    assert str(home.parent / "owl") in (home / "bases.json").read_text()


def test_it_is_routed_to_and_what_was_promised_holds(home: Path, capsys: Capture) -> None:
    asked = ("ask", str(home.parent / "scene.png"), "Draw a box around the dog.", "--task", "grounding", "--json")
    given = json.loads(here(capsys, home, *asked)[1])
    (found,) = given["boxes"]
    assert given["text"].startswith("left ") and 0 <= found["box"][0] < found["box"][2] <= 192
    told = json.loads(here(capsys, home, "evaluate", "--examples", "12", "--questions", "24", "--json")[1])
    assert told["tasks"]["grounding"]["parse_failure"] == 0
    assert told["routing"]["confusion"]["grounding"] == {"grounding": 12}
    assert list(told["annotators"]) == ["owl"]
    promises = here(capsys, home, "registry", "verify", "--deep")[1].splitlines()
    logits = [line for line in promises if line.startswith("grounding\tlogits of grounding\t")]
    assert logits == ["grounding\tlogits of grounding\tholds\tequal to the bit"]


@pytest.mark.slow
def test_an_update_keeps_the_detector(home: Path, tmp_path: Path) -> None:
    other = shutil.copytree(home, tmp_path / "home")
    before = json.loads(lynx("registry", "show", "grounding", "--json", home=other).stdout)
    lynx("update-task", "grounding", *SHORT, "data.seed=1", home=other)
    after = json.loads(lynx("registry", "show", "grounding", "--json", home=other).stdout)
    assert after["version"] == 2 and after["digest"] == before["digest"]


def test_it_does_not_go_to_peft_and_on_another_machine_wants_its_detector(
    home: Path, tmp_path: Path, capsys: Capture
) -> None:
    code, _, said = here(capsys, home, "registry", "export", "grounding", str(tmp_path / "peft"), "--peft")
    assert code == 1 and "an external bank cannot go to PEFT" in said
    assert here(capsys, home, "registry", "export", "grounding", str(tmp_path / "g.lynx"))[0] == 0
    away = tmp_path / "away"
    assert here(capsys, away, "registry", "import", str(tmp_path / "g.lynx"))[0] == 0
    asked = ("ask", str(home.parent / "scene.png"), "Box the dog.", "--task", "grounding")
    code, _, said = here(capsys, away, *asked)
    assert code == 1 and "detector owl (" in said and said.count("\n") == 1
    shutil.copytree(home.parent / "owl", away / "detectors" / "owl")
    assert here(capsys, away, *asked)[1] == here(capsys, home, *asked)[1] != ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("counting", "--data", "scenes"), "task 'counting' is of kind counting; an external bank boxes"),
        (("cells", "--data", "scout"), "names no detector; give bank.external.model=FOLDER"),
        (("cells", "--data", "scout", "bank.external.model=./nowhere"), "detector ./nowhere: no such folder"),
    ],
)
def test_mistakes_are_one_line(home: Path, arguments: tuple[str, ...], words: str, capsys: Capture) -> None:
    code, _, said = here(capsys, home, "add-task", *arguments, "--bank", "external", *SHORT)
    assert code == 2 and words in said and said.count("\n") == 1
