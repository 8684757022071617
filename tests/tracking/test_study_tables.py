"""Tables of a study as files, and documents that show them."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from lynx_cl.cli.main import main
from lynx_cl.continual.comparison import CellTable, rows
from lynx_cl.continual.results_file import shipped_results
from lynx_cl.errors import UsageError
from lynx_cl.home import Home
from lynx_cl.tracking.study_tables import markdown, order_table, refreshed
from tests.tracking.test_study_tracking import ORDER, STUDY, R, folder_of, result

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "experiments" / "README.md"]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    folder_of(Home(home), 2)
    assert main(["experiment", "compare", "--out", str(home / "out"), "--home", str(home)]) == 0
    return home / "out" / "told"


def test_r_is_kept_line_by_line(kept: Path) -> None:
    with (kept / "R.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    own = {(int(line["stage"]), line["task"]): line for line in lines if line["method"] == "lora"}
    assert {key: float(line["blind"]) for key, line in own.items()} == {
        (stage, task): R[stage][place] for stage in range(3) for place, task in enumerate(ORDER)
    }
    assert own[1, "counting"]["learned"] == "counting" and float(own[1, "counting"]["strict"]) == 0.5


def test_the_rest_says_what_was_run(kept: Path) -> None:
    told = json.loads((kept / "study.json").read_text())
    assert told["study"]["budget"]["pictures"] == 8 and "torch" in told["libraries"]
    assert told["cells"] == {"lora/order-1-seed-0": "whole", "lynx/order-1-seed-0": "failed: no such data"}
    page = (kept / "tables.md").read_text()
    assert "| grounding | 0.5000 | 1.0000 |" in page and "## lora/order-1-seed-0" in page
    assert (kept / "forgetting.png").exists()


def test_each_order_is_told_by_itself(tmp_path: Path) -> None:
    """Orders are compared with the same seeds; an order without a whole cell has no number."""
    orders = tuple(ORDER), tuple(ORDER[::-1])
    study = STUDY.model_copy(update={"orders": orders, "seeds": (0, 1), "methods": {"lora": {"rank": 2}, "lynx": {}}})
    last = {("lora", 1, 0): 0.5, ("lora", 1, 1): 0.75, ("lora", 2, 0): 1.0, ("lynx", 2, 0): 1.0, ("lynx", 2, 1): 0.5}
    tables = []
    for cell in study.cells():
        key = (cell.label, cell.number, cell.seed)
        whole = (
            [result(1), result(2).model_copy(update={"blind": dict.fromkeys(ORDER, last[key])})] if key in last else []
        )
        tables.append(CellTable("told", cell, False, False, False, (result(0), *whole), None))
    header, lines = order_table(rows(tables), ["lora", "lynx"])
    assert header == ["method", "cells", *(f"{name} order {n}" for name in ("ACC", "forgetting") for n in (1, 2))]
    # counting fell from 1 to 0.5 in order 1, grounding rose from 0.25 to 1 in order 2; seed 1 ran in one order alone
    assert lines[0] == ["lora", "3 of 4", "0.500", "1.000", "0.500", "-0.750"]
    assert lines[1] == ["lynx", "2 of 4", "-", "0.750", "-", "-0.500"]


def test_a_document_shows_what_the_file_holds(kept: Path, tmp_path: Path) -> None:
    shutil.copy(kept / "methods.csv", tmp_path / "methods.csv")
    text = "a\n<!-- table methods.csv: method, cells -->\nanything\n<!-- end of table -->\nb\n"
    shown = refreshed(text, tmp_path)
    assert "| lora | 1 of 1 |" in shown and "anything" not in shown
    assert refreshed(shown, tmp_path) == shown and shown.startswith("a\n") and shown.endswith("\nb\n")
    with pytest.raises(UsageError, match="has no column 'sells'"):
        markdown(tmp_path / "methods.csv", ["sells"])
    with pytest.raises(UsageError, match="no CSV table"):
        refreshed(text, tmp_path / "elsewhere")


@pytest.mark.parametrize("study", sorted(shipped_results()))
def test_the_tables_that_ship_are_made_of_the_results_that_ship(study: str, tmp_path: Path) -> None:
    """To the last digit, intervals too, in a home of any user."""
    home = ["--home", str(tmp_path / "home")]
    assert main(["experiment", "import", study, *home]) == 0
    assert main(["experiment", "compare", study, "--out", str(tmp_path), *home]) == 0
    for table in sorted(path.name for path in (tmp_path / study).glob("*") if path.suffix in (".csv", ".md")):
        kept, made = (folder / study / table for folder in (ROOT / "experiments" / "results", tmp_path))
        assert kept.read_text() == made.read_text(), f"write it anew: lynx-cl experiment compare {study} --out ..."


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_documents_show_the_tables_as_they_are(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert refreshed(text, ROOT) == text, "write it anew: python -m lynx_cl.tracking.study_tables FILE"
