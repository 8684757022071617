"""The whole cells of a study in one file: to be kept, joined with those of another machine, compared with one's own.

A file is gzipped JSON: what the study is, row 0 of R, and of each whole cell what was measured after every stage, with
the score of each example, so that all tables, intervals and figures can be made of it. Weights are not in it: a cell
that is not whole cannot go on elsewhere. Studies that ship have theirs as `experiments/results/STUDY/results.json.gz`.
"""

from __future__ import annotations

import gzip
import shutil
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout
from pydantic import ValidationError

from lynx_cl import __version__
from lynx_cl.base.settings import Settings
from lynx_cl.continual.results import CellFolder, StageResult, StudyFolder, study_folder
from lynx_cl.continual.study import Cell, Study, in_full, terms_of
from lynx_cl.errors import LynxError, UsageError
from lynx_cl.home import Home, shipped
from lynx_cl.registry.durable import write_whole
from lynx_cl.registry.scratch import own_name

FILE = "results.json.gz"
SCRATCH = "import"
LIMIT = 1 << 27  # bytes that a file may unpack to


class Results(Settings):
    """What a file holds. `cells` has the stages of each whole cell by its key; `version` is of what wrote it."""

    format: Literal[1] = 1
    version: str = __version__
    study: Study
    made_of: dict[str, str]
    base: StageResult
    cells: dict[str, list[StageResult]]


@dataclass(frozen=True)
class Imported:
    """What came of taking in a file: cells that are new here, and those that were whole here already."""

    study: str
    new: tuple[str, ...]
    there: tuple[str, ...]


def export_results(folder: StudyFolder, path: Path, only: Collection[str] | None = None) -> tuple[list[str], list[str]]:
    """Write the whole cells of a study to `path`, or of them those of the keys `only`.

    The same cells give the same bytes. Returns the keys of what was written, and of what was left out since it is not
    whole. Raises LynxError where no study was run, none of its cells is whole, or a file is damaged; OSError where it
    cannot be written.
    """
    study, alone = folder.study(), folder.alone()
    cells = [cell for cell in study.cells() if only is None or cell.key in only]
    whole = [cell for cell in cells if folder.cell(cell).holds(len(cell.order))]
    if alone is None or not whole:
        raise LynxError(f"{folder.path}: no cell is whole yet; 'lynx-cl experiment run' goes on")
    for cell in whole:
        folder.cell(cell).check(study.kind(cell.label).at_once, len(cell.order))
    told = {cell.key: folder.cell(cell).stages() for cell in whole}
    results = Results(study=study, made_of=folder.made_of, base=alone, cells=told)
    data = gzip.compress(results.model_dump_json().encode(), mtime=0)
    write_whole(path, data, scratch=path.absolute().parent, what="study.export")
    return list(told), [cell.key for cell in cells if cell not in whole]


def import_results(home: Home, path: Path) -> Imported:
    """Take the cells of a file into a home. Cells that are whole there stay as they are; everything is checked first.

    Methods, orders and seeds that the home's study lacks are added to it. Raises as `read_results`, UsageError where
    the home holds another study of that name, LynxError where it is being run.
    """
    results = read_results(path)
    home.ensure_writable()
    folder = study_folder(home, results.study.name)
    folder.path.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder.path / "lock", timeout=0):
            for left in folder.path.glob(f"{SCRATCH}-*"):  # by an import that was killed
                shutil.rmtree(left, ignore_errors=True)
            joined = results.study
            if folder.exists():
                ours = folder.study()
                folder.check(results.study, results.made_of, f"{path}: ", "take it into another home with --home")
                joined = ours.joined(results.study)
            folder.open(joined, results.made_of)
            if folder.alone() is None:
                folder.keep_alone(results.base)
            keys = {cell.key: cell for cell in joined.cells()}
            there = [key for key in results.cells if folder.cell(keys[key]).holds(len(keys[key].order))]
            new = [key for key in results.cells if key not in there]
            for key in new:
                _put(folder, keys[key], results.cells[key])
    except Timeout:
        raise LynxError(f"study '{results.study.name}' is being run by another process; wait for it") from None
    return Imported(results.study.name, tuple(new), tuple(there))


def read_results(path: Path) -> Results:
    """What a file holds, every part of it checked.

    Raises UsageError where there is no such file, LynxError for one that is none of a study's results, is damaged, was
    written by a later version, or whose cells are not whole.
    """
    try:
        with gzip.open(path) as file:
            data = file.read(LIMIT + 1)
        if len(data) > LIMIT:
            raise LynxError(f"{path}: unpacks to more than {LIMIT:,} bytes; it holds no results of a study")
        results = Results.model_validate_json(data)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UsageError(f"{path}: a folder; name a file that 'experiment export' wrote") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise LynxError(f"{path}: no results of a study, or cut off ({error}); get the file again") from None
    except ValidationError as failure:
        wrong = failure.errors()[0]
        if wrong["loc"] == ("format",):
            raise LynxError(f"{path}: of format {wrong['input']!r}, written by another version; use that") from None
        where = ".".join(str(part) for part in wrong["loc"]) or "JSON"
        raise LynxError(f"{path}: no results of a study ({where}: {wrong['msg'].lower()})") from None
    _check(results, path)
    return results


def shipped_results() -> dict[str, Path]:
    """The files of the studies whose results ship, by name."""
    return {file.parent.name: file for file in sorted(shipped("experiments").glob(f"results/*/{FILE}"))}


def ships(study: Study) -> bool:
    """Whether results ship that this study could go on from."""
    file = shipped_results().get(study.name)
    return file is not None and read_results(file).study.shared() == study.shared()


def results_file(name_or_path: str) -> Path:
    """The file of that path, or of the study of that name whose results ship. Raises UsageError for neither."""
    known = shipped_results()
    if name_or_path in known:
        return known[name_or_path]
    path = Path(name_or_path).expanduser()
    if not path.exists():
        names = ", ".join(known) or "none"
        raise UsageError(f"{name_or_path}: no such file, and no study whose results ship; those are: {names}")
    return path


def _check(results: Results, path: Path) -> None:
    """Every cell is one of the study's, and has a row for each of its stages, of the same tasks as row 0."""
    for label, settings in results.study.methods.items():
        try:
            terms_of(label, settings)
            full = in_full(label, settings)
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from None
        if full != settings:
            left = ", ".join(sorted(full.keys() - settings.keys())) or "some"
            raise LynxError(f"{path}: methods.{label}: does not tell {left}, as an earlier version wrote; make it anew")
    known = {cell.key: cell for cell in results.study.cells()}
    tasks = results.base.blind.keys()
    if results.base.stage != 0 or not tasks >= results.study.tasks.keys():
        raise LynxError(f"{path}: its row of the base alone misses tasks of the study; get the file again")
    for key, stages in results.cells.items():
        if key not in known:
            raise LynxError(f"{path}: holds cell {key}, which is none of its study's; get the file again")
        cell = known[key]
        last = len(cell.order)
        at_once = results.study.kind(cell.label).at_once
        if [stage.stage for stage in stages] != ([last] if at_once else list(range(1, last + 1))):
            raise LynxError(f"{path}: cell {key} is not whole; get the file again")
        for stage in stages:
            if (stage.blind.keys(), stage.aware.keys(), stage.task) != (tasks, tasks, cell.order[stage.stage - 1]):
                raise LynxError(f"{path}: stage {stage.stage} of cell {key} is of other tasks; get the file again")


def _put(folder: StudyFolder, cell: Cell, stages: list[StageResult]) -> None:
    """A whole cell in the place of one that is not there, or not whole; a kill leaves the old one, none, or the new."""
    place, scratch = folder.cell(cell).path, folder.path / own_name(SCRATCH)
    try:
        made = CellFolder(scratch / "new")
        made.start()
        for stage in stages:
            made.keep(stage)
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.exists():
            place.rename(scratch / "old")
        made.path.rename(place)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
