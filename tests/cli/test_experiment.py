"""The commands of `experiment` on results that are there: what they print, write and refuse."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from lynx_cl.cli.main import main
from lynx_cl.home import Home
from tests.continual.study_tiny import write_base, write_study


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one study, of which one cell failed."""
    path = tmp_path_factory.mktemp("experiment")
    base = write_base(path / "tiny")
    methods = {
        "zero-shot": None,
        "lynx": {"prompts": 12},
        "broken": {"method": "sequential", "learning_rate": 1e30},
    }
    write_study(path / "experiments" / "short.yaml", base, methods, title="A <short> study")
    assert main(["experiment", "run", "short", "--home", str(path)]) == 1
    return path


def test_a_failed_cell_is_exit_1_and_in_the_table(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["experiment", "run", "short", "--home", str(home)]) == 1
    out, error = capsys.readouterr()
    lines = {line.split("\t")[1]: line.split("\t") for line in out.splitlines()}
    assert {"order spread", "ACC strict", "forgetting normalised"} <= set(lines["method"])
    assert lines["broken"][2] == "0 of 1, 1 failed" and lines["lynx"][2] == "1 of 1"
    told = dict(zip(lines["method"], lines["lynx"], strict=True))
    assert re.fullmatch(r"\d\.\d{3} -> \d\.\d{3}", told["grounding"]) and int(told["peak MB"]) > 100
    assert lines["broken"][lines["method"].index("counting")] == "-"
    assert error.strip().splitlines()[-1] == ("lynx-cl: study 'short': 1 of 3 cells failed: broken/order-1-seed-0")
    assert "short/broken/order-1-seed-0: failed: training: the validation loss is nan at step 1" in error


def test_compare_as_json_is_the_agreed_list(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["experiment", "compare", "--json", "--home", str(home)]) == 0
    told = json.loads(capsys.readouterr().out)
    keys = ["study", "method", "order", "seed", "R", "acc", "bwt", "fwt", "forgetting", "mft", "mfn", "maa"]
    assert all(list(one)[:14] == [*keys, "growth_total", "growth_active"] for one in told)
    assert all(len(one[f"R_{form}"]) == 3 for one in told for form in ("strict", "normalised"))
    assert told[1]["acc_normalised"] >= told[1]["acc_strict"] and told[2]["acc_strict"] is None
    assert [one["method"] for one in told] == ["zero-shot", "lynx", "broken"]
    assert told[0]["order"] == ["counting", "grounding"] and len(told[0]["R"]) == 3
    assert main(["experiment", "compare", "short/lynx", "--json", "--home", str(home)]) == 0
    assert [one["method"] for one in json.loads(capsys.readouterr().out)] == ["lynx"]


def test_a_choice_of_cells_leaves_the_study_s_figures(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = home / "studies" / "short" / "figures"
    before = {path.name: path.read_bytes() for path in figures.glob("*.png")}
    assert main(["experiment", "compare", "short/zero-shot/order-1-seed-0", "--home", str(home)]) == 0
    assert before and {path.name: path.read_bytes() for path in figures.glob("*.png")} == before
    assert (figures / "chosen" / "scores.png").exists() and not (figures / "chosen" / "routing.png").exists()
    capsys.readouterr()
    assert main(["experiment", "compare", "short/lynx", "--json", "--out", str(tmp_path), "--home", str(home)]) == 0
    assert [one["method"] for one in json.loads(capsys.readouterr().out)] == ["lynx"]
    assert (tmp_path / "short" / "methods.csv").exists() and (tmp_path / "short" / "growth.png").exists()


def test_compare_writes_figures_and_tables(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["experiment", "compare", "short", "--out", str(tmp_path), "--home", str(home)]) == 0
    out, _ = capsys.readouterr()
    assert re.search(r"short\tlynx\t1 of 1\t\d\.\d{3} \[\d\.\d{3}, \d\.\d{3}\]\t", out)
    made = sorted(path.name for path in (tmp_path / "short").iterdir())
    tables = ["R.csv", "methods.csv", "study.json", "tables.md", "results.json.gz"]
    assert made == sorted(["R.png", "forgetting.png", "scores.png", "growth.png", "routing.png", *tables])
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in (tmp_path / "short").glob("*.png"))


def test_the_report_is_one_page_without_addresses(home: Path, tmp_path: Path) -> None:
    page = tmp_path / "deep" / "short.html"
    assert main(["experiment", "report", "short", "--out", str(page), "--home", str(home)]) == 0
    text = page.read_text()
    assert "A &lt;short&gt; study" in text and text.count("data:image/png;base64,") == 5
    assert "The same answers read strictly / normalised" in text and re.search(r"<td>\d\.\d{3} / \d\.\d{3}</td>", text)
    assert "http" not in re.sub(r"base64,[^\"]*", "", text) and "failed: training: the validation loss" in text


def test_a_report_of_a_home_that_is_only_read(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted(home.rglob("*"))
    page = tmp_path / "short.html"
    page.write_text("older")
    assert main(["experiment", "report", "short", "--out", str(page), "--home", str(home)]) == 0
    assert "A &lt;short&gt; study" in page.read_text() and sorted(home.rglob("*")) == before
    assert [path.name for path in tmp_path.iterdir()] == ["short.html"]


def test_list_tells_broken_files_and_studies_from_elsewhere(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copied = tmp_path / "home"
    shutil.copytree(home, copied)
    own = copied / "experiments"
    (own / "short.yaml").rename(tmp_path / "short.yaml")
    (own / "begun.yaml").write_text("name: begun\ntasks:\nmethods:\n")
    (own / "torn.yaml").write_text("name: [\n")
    assert main(["experiment", "list", "--json", "--home", str(copied)]) == 0
    told = {one["study"]: one for one in json.loads(capsys.readouterr().out)}
    assert told["short"]["stages_done"] == 4 and told["short"]["file"] == "run from a file elsewhere"
    assert told["begun"]["tasks"] == told["begun"]["methods"] == []
    assert main(["experiment", "run", "torn", "--home", str(copied)]) == 2
    assert f"these are no YAML: {own / 'torn.yaml'}" in capsys.readouterr().err


def test_a_dry_run_runs_nothing(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["experiment", "run", "short", "--dry-run", "--json", "--home", str(home)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["cells"], told["cells_done"], told["steps_of_a_task"]) == (3, 2, 2)
    small = ["sequence-8", "seeds=[0]", "budget.pictures=20"]
    assert main(["experiment", "run", *small, "--dry-run", "--home", str(tmp_path)]) == 0
    out, error = capsys.readouterr()
    assert re.search(r"cells +57\n", out) and error == "" and not list(tmp_path.iterdir())
    assert main(["experiment", "run", "sequence-8", "budget.steps=0", "--dry-run", "--home", str(tmp_path)]) == 2
    capsys.readouterr()
    assert main(["experiment", "run", "short", "budget.steps=7", "--dry-run", "--home", str(home)]) == 2
    assert "holds results with budget.steps = 2, this study has 7" in capsys.readouterr().err  # as the run would say


def test_list_shows_what_was_run(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["experiment", "list", "--json", "--home", str(home)]) == 0
    told = {one["study"]: one for one in json.loads(capsys.readouterr().out)}
    assert told["short"]["stages_done"] == 4 and told["smoke"]["stages_done"] == 0
    assert {"data", "experts", "growth", "order", "sequence-8"} <= set(told)
    assert main(["experiment", "list", "--home", str(home)]) == 0
    assert capsys.readouterr().out.startswith("study\ttasks\tmethods\tstages done\tresults ship\tfile\n")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "absent"], 2, "study 'absent' is unknown; known: baselines, coin, "),
        (["run", "short", "budget.steps=0"], 2, "budget.steps = 0"),
        (["run", "short", "budget.steps=9"], 2, "holds results with budget.steps = 2, this study has 9"),
        (
            ["run", "short", "--only", "lynks"],
            2,
            "--only lynks: no cell of 'short'; name one of zero-shot, lynx, broken",
        ),
        (["export", "short", "taken/a"], 2, "FILE taken/a: no such folder"),
        (["export", "short", "."], 2, "FILE .: a folder; name a file in it"),
        (["export", "absent", "a"], 1, "no study was run here"),
        (["import", "absent"], 2, "absent: no such file, and no study whose results ship; those are: "),
        (["import", "."], 2, ".: a folder; name a file that 'experiment export' wrote"),
        (["import", "taken"], 1, "taken: no results of a study"),
        (["compare", "absent"], 2, "run 'absent' is unknown; known studies: short; or STUDY/METHOD"),
        (
            ["compare", "short/absent"],
            2,
            "study 'short' has methods zero-shot, lynx, broken, with cells as zero-shot/order-1-seed-0",
        ),
        (["report", "absent"], 1, "no study was run here; 'lynx-cl experiment run' does it"),
        (["report", "short", "--out", "."], 2, "--out .: a folder; name a file in it"),
        (["report", "short", "--out", "taken/a.html"], 1, "taken: cannot be made (File exists); name another folder"),
        (["compare", "short", "--out", "taken/a"], 1, "taken/a: cannot be made (Not a directory); name another folder"),
    ],
)
def test_mistakes_are_one_line(
    home: Path,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").touch()
    assert main(["experiment", *arguments, "--home", str(home)]) == code
    _, error = capsys.readouterr()
    assert message in error and error.count("\n") == 1


def test_results_come_to_another_home(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was run here is compared there, to the last digit, and a method that is run there is compared with it."""
    file, there = tmp_path / "short.json.gz", ["--home", str(tmp_path / "there")]
    assert main(["experiment", "export", "short", str(file), "--json", "--home", str(home)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["cells"] == 2 and told["left_out"] == ["broken/order-1-seed-0"]
    assert told["bytes"] == file.stat().st_size < 10_000
    assert main(["experiment", "import", str(file), "--json", *there]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["study"], told["cells"], told["there_already"]) == ("short", 2, 0)
    assert main(["experiment", "compare", *there]) == 0
    imported = capsys.readouterr().out.splitlines()
    assert main(["experiment", "compare", "--home", str(home)]) == 0
    ours = capsys.readouterr().out.splitlines()
    assert imported[1:3] == ours[1:3] and "0 of 1, 1 failed" in ours[3] and "0 of 1\t" in imported[3]
    study = str(write_study(tmp_path / "short.yaml", home / "tiny", {"zero-shot": None, "lynx": {"prompts": 12}}))
    own = ["methods.mine.method=lora", "methods.mine.rank=2"]
    assert main(["experiment", "run", study, *own, "--only", "mine", "--json", *there]) == 0
    out, error = capsys.readouterr()
    told = json.loads(out)
    assert [one["method"] for one in told] == ["zero-shot", "lynx", "mine"] and told[2]["acc"] is not None
    assert "measure: the base alone" not in error and "lynx/order-1" not in error
    assert main(["experiment", "import", str(file), *there]) == 0
    assert re.search(r"cells +0\nthere_already +2\n", capsys.readouterr().out)


def test_a_home_without_studies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["experiment", "compare", "--json", "--home", str(Home(tmp_path).path)]) == 0
    assert json.loads(capsys.readouterr().out) == []
