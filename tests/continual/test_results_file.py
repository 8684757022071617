"""Results of a study in one file: the same file from the same cells, taken in whole, and only where they belong."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from lynx_cl.continual.comparison import cell_tables, rows
from lynx_cl.continual.results import StudyFolder, study_folder
from lynx_cl.continual.results_file import export_results, import_results, read_results
from lynx_cl.continual.study import Cell, Study
from lynx_cl.errors import LynxError, UsageError
from lynx_cl.home import Home, shipped
from lynx_cl.tracking.study import StudyTracker
from tests.tracking.test_study_tracking import ORDER, STUDY, folder_of, result, runs

MADE_OF = {"data of counting": "d" * 64}
LORA, LYNX = "lora/order-1-seed-0", "lynx/order-1-seed-0"


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A file with one whole cell of two."""
    path = tmp_path / "told.json.gz"
    assert export_results(folder_of(Home(tmp_path / "from"), 2), path) == ([LORA], [LYNX])
    return path


def other(home: Home, study: Study, *cells: Cell) -> StudyFolder:
    """A home's study with such whole cells."""
    folder = study_folder(home, study.name)
    folder.open(study, MADE_OF)
    folder.keep_alone(result(0))
    for cell in cells:
        folder.cell(cell).start()
        for number in (1, 2):
            folder.cell(cell).commit(result(number), b"state")
    return folder


def test_the_same_cells_give_the_same_file(kept: Path, tmp_path: Path) -> None:
    home = Home(tmp_path / "to")
    taken = import_results(home, kept)
    assert (taken.study, taken.new, taken.there) == ("told", (LORA,), ())
    folder = study_folder(home, "told")
    assert export_results(folder, tmp_path / "again.json.gz") == ([LORA], [LYNX])
    assert (tmp_path / "again.json.gz").read_bytes() == kept.read_bytes()
    before, after = (cell_tables(StudyFolder(tmp_path / place / "studies" / "told")) for place in ("from", "to"))
    assert before[0].facts() == after[0].facts() and before[0].stages == after[0].stages
    assert rows(before)[0].interval("acc") == rows(after)[0].interval("acc")
    assert after[1].failure is None and not after[1].whole  # why a cell failed there says nothing here
    assert folder.identity != StudyFolder(tmp_path / "from" / "studies" / "told").identity
    assert not list(folder.path.glob("import-*"))


def test_what_is_taken_in_is_logged(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    home = Home(tmp_path / "to")
    import_results(home, kept)
    assert StudyTracker(home, STUDY).copy(study_folder(home, "told"), last=True) is None
    logged = runs(f"sqlite:///{home.mlflow_db}")
    assert set(logged) == {"study told", LORA} and logged[LORA].data.metrics["score/counting"] == 0.5


def test_parts_of_a_study_are_joined(kept: Path, tmp_path: Path) -> None:
    """Seeds, methods and orders of two homes come together; what is whole here stays, what is not gives way."""
    home = Home(tmp_path / "to")
    more = STUDY.model_copy(
        update={"seeds": (1, 0), "orders": (tuple(ORDER), tuple(ORDER[::-1])), "methods": {"lora": {"rank": 2}}}
    )
    folder = other(home, more, Cell("lora", 1, tuple(ORDER), 1))
    begun = folder.cell(Cell("lora", 1, tuple(ORDER), 0))
    begun.start()
    begun.commit(result(1), b"state")
    assert import_results(home, kept).new == (LORA,)
    joined = folder.study()
    assert (joined.seeds, list(joined.methods)) == ((1, 0), ["lora", "lynx"]) and joined.orders == more.orders
    tables = {table.cell.key: table for table in cell_tables(folder)}
    assert tables[LORA].whole and tables["lora/order-1-seed-1"].whole and len(tables) == 8
    assert not list(begun.path.glob("state-*"))  # what the cell that was not whole had learned went with it
    assert import_results(home, kept).there == (LORA,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods": {"lora": {"rank": 4}}}, "holds results with methods.lora.rank = 4, this study has 2"),
        ({"methods": {"lora": {"rank": 2, "learning_rate": 0.5}}}, "methods.lora.learning_rate = 0.5, this study has "),
        ({"methods": {"lora": {"method": "pin"}}}, "holds results with methods.lora = "),
        ({"budget": STUDY.budget.model_copy(update={"steps": 7})}, "holds results with budget.steps = 7"),
        ({"orders": (tuple(ORDER[::-1]),)}, "holds results with order 1 = "),
    ],
)
def test_what_does_not_belong_is_refused(kept: Path, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    home = Home(tmp_path / "to")
    changed = STUDY.model_copy(update=change)
    folder = other(home, changed, changed.cells()[0])
    before = {path: path.read_bytes() for path in folder.path.rglob("*.json")}
    with pytest.raises(UsageError, match=message) as refused:
        import_results(home, kept)
    assert str(refused.value).startswith(f"{kept}: ") and "into another home with --home" in str(refused.value)
    assert {path: path.read_bytes() for path in folder.path.rglob("*.json")} == before


def test_other_data_are_refused(kept: Path, tmp_path: Path) -> None:
    home = Home(tmp_path / "to")
    folder = study_folder(home, "told")
    folder.open(STUDY, {"data of counting": "e" * 64})
    folder.keep_alone(result(0))
    with pytest.raises(UsageError, match="holds results with data of counting = eee"):
        import_results(home, kept)


def test_a_study_that_runs_is_left_alone(kept: Path, tmp_path: Path) -> None:
    home = Home(tmp_path / "to")
    folder = other(home, STUDY)
    with FileLock(folder.path / "lock"), pytest.raises(LynxError, match="is being run by another process"):
        import_results(home, kept)


def test_nothing_whole_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(LynxError, match="no cell is whole yet"):
        export_results(folder_of(Home(tmp_path), 1), tmp_path / "told.json.gz")
    assert not (tmp_path / "told.json.gz").exists()


def edited(told: dict[str, Any], *keys: str | int, to: Any) -> dict[str, Any]:
    at: Any = told
    for key in keys[:-1]:
        at = at[key]
    at[keys[-1]] = to
    return told


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda told: edited(told, "format", to=2), "of format 2, written by another version"),
        (lambda told: edited(told, "code", to="x"), r"no results of a study \(code: extra inputs"),
        (lambda told: edited(told, "study", "methods", to={}), r"\(study.methods: "),
        (lambda told: edited(told, "study", "name", to="../told"), r"\(study.name: "),
        (
            lambda told: edited(told, "study", "methods", "lora", to={"method": "x"}),
            "methods.lora: method 'x' is unknown",
        ),
        (lambda told: edited(told, "cells", "../x", to=[]), "cell ../x, which is none of its study's"),
        (lambda told: edited(told, "cells", LORA, to=told["cells"][LORA][:1]), f"cell {LORA} is not whole"),
        (lambda told: edited(told, "cells", LORA, to=told["cells"][LORA][::-1]), f"cell {LORA} is not whole"),
        (lambda told: edited(told, "cells", LORA, 0, "blind", to={"x": 1.0}), f"stage 1 of cell {LORA} is of other"),
        (lambda told: edited(told, "cells", LORA, 0, "blind", "counting", to="NaN"), r"blind.counting: "),
        (lambda told: edited(told, "base", "blind", to={}), "its row of the base alone misses tasks"),
        (lambda told: [told], r"no results of a study \(JSON: "),
    ],
)
def test_a_wrong_file_is_one_line(
    kept: Path, tmp_path: Path, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    told = change(json.loads(gzip.decompress(kept.read_bytes())))
    kept.write_bytes(gzip.compress(json.dumps(told).encode()))
    home = Home(tmp_path / "to")
    with pytest.raises((LynxError, UsageError), match=message) as wrong:
        import_results(home, kept)
    assert str(wrong.value).startswith(f"{kept}: ") and "\n" not in str(wrong.value) and not home.path.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"plain",
        gzip.compress(b"x" * 999)[:20],
        gzip.compress(b"[" * 100_000),
        gzip.compress(b"\xff{}"),
        b"\x1f\x8b",
    ],
    ids=["empty", "plain", "cut off", "nested", "not UTF-8", "begun"],  # gzip notes the second: workers would differ
)
def test_what_is_no_file_of_results(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "told.json.gz"
    path.write_bytes(data)
    with pytest.raises(LynxError, match="no results of a study"):
        read_results(path)


@pytest.mark.parametrize("path", sorted(shipped("experiments").glob("results/*/*.json.gz")), ids=lambda path: path.name)
def test_what_ships_can_be_taken_in(path: Path, tmp_path: Path) -> None:
    cells = read_results(path).cells
    assert set(import_results(Home(tmp_path), path).new) == set(cells) and len(cells) > 5
