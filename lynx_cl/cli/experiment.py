"""`lynx-cl experiment`: studies of methods on sequences of tasks: list, run, compare and report them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lynx_cl.cli.options import HomeOption, JsonOption, output_file, output_folder
from lynx_cl.cli.output import note, print_facts, print_json, print_table
from lynx_cl.errors import LynxError
from lynx_cl.home import Home, resolve_home

if TYPE_CHECKING:
    from lynx_cl.continual.results import StudyFolder
    from lynx_cl.continual.study import Cell, Study

app = typer.Typer(help="Studies: methods compared on sequences of tasks.", no_args_is_help=True, add_completion=False)
RunsArgument = Annotated[list[str] | None, typer.Argument(help="STUDY, STUDY/METHOD or STUDY/METHOD/CELL.")]
OutOption = Annotated[Path | None, typer.Option("--out", help="Folder for what is written.")]


@app.command("list")
def list_command(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the studies that can be run, how much of each was run in this home, and whether results ship ('import').

    Example: lynx-cl experiment list
    """
    import yaml

    from lynx_cl.continual.results import run_studies, study_folder
    from lynx_cl.continual.results_file import shipped_results
    from lynx_cl.continual.study_files import known_studies

    where = resolve_home(home)
    rows, ships = [], shipped_results()
    studies = [(yaml.safe_load(path.read_text(encoding="utf-8")), str(path)) for path in known_studies(where)]
    run = [folder for folder in run_studies(where) if folder.path.name not in {told["name"] for told, _ in studies}]
    studies += [(folder.study().model_dump(), "run from a file elsewhere") for folder in run]
    for told, file in studies:
        folder = study_folder(where, told["name"])
        stages = len(list(folder.path.glob("cells/*/*/stage-*.json")))
        rows.append(
            {
                "study": told["name"],
                "title": told.get("title") or "",
                "tasks": list(told.get("tasks") or {}),
                "methods": list(told["methods"] or {}),
                "stages_done": stages,
                "results_ship": told["name"] in ships,
                "file": file,
            }
        )
    if as_json:
        print_json(rows)
        return
    print_table(
        ("study", "tasks", "methods", "stages done", "results ship", "file"),
        [
            (row["study"], row["tasks"], row["methods"], row["stages_done"], row["results_ship"], row["file"])
            for row in rows
        ],
    )


@app.command("run")
def run_command(
    study: Annotated[str, typer.Argument(help="A study's name, or the path of its YAML file.")],
    settings: Annotated[list[str] | None, typer.Argument(help="Settings as key=value, e.g. budget.steps=50.")] = None,
    only: Annotated[list[str] | None, typer.Option("--only", help="METHOD or METHOD/CELL; can be given again.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the study, run nothing.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run every cell of a study (method x order x seed) that is not done yet, then compare.

    Example: lynx-cl experiment run smoke executor=processes

    Stopped or killed at any moment, the same command goes on where it was. A cell that fails leaves the others going.
    With --only the cells that are named are run alone, as lynx or lynx/order-1-seed-0: so a study is run in parts.
    """
    from lynx_cl.continual.study import chosen_cells, read_study

    where = resolve_home(home)
    plan = read_study(study, settings or [], where)
    cells = chosen_cells(plan, only or [])
    if dry_run:
        _told(where, plan, cells, as_json)
        return
    from lynx_cl.continual.results import study_folder
    from lynx_cl.continual.results_file import ships
    from lynx_cl.continual.run_study import run_study
    from lynx_cl.tracking.study import StudyTracker

    where.ensure_writable()
    if not study_folder(where, plan.name).exists() and ships(plan):
        note(f"results of this study ship: 'lynx-cl experiment import {plan.name}' takes them in, and the rest is run")
    tracker = StudyTracker(where, plan)

    def on_stage(folder: StudyFolder) -> None:
        trouble = tracker.copy(folder)
        if trouble:
            note(trouble)

    ran = run_study(where, plan, note, on_stage, cells)
    trouble = tracker.copy(study_folder(where, plan.name), last=True)
    if trouble:
        note(trouble)
    _compare(where, [plan.name], None, as_json)
    if ran.failed:
        names = ", ".join(cell.key for cell in ran.failed)
        raise LynxError(f"study '{plan.name}': {len(ran.failed)} of {len(cells)} cells failed: {names}")


@app.command("compare")
def compare_command(
    runs: RunsArgument = None, out: OutOption = None, home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """Print how methods compare, with 95 % intervals, and write the figures; with --out tables too, to be kept.

    Example: lynx-cl experiment compare smoke --out results

    With --json: a list with one entry a cell; R has the base alone as row 0, its tasks are the base's own (where it has
    some) and then those of the order; what was not measured is null. R_strict and R_normalised are R of the answers
    read strictly and normalised; growth is in parameters over the base's, a fraction like the scores. Figures go to
    studies/STUDY/figures in the home (those of a choice of cells to figures/chosen), or to OUT/STUDY with the tables
    (methods.csv, R.csv, orders.csv where there are several orders, tables.md, study.json) and the results that they are
    made of (results.json.gz, as 'export' writes it).
    """
    where = resolve_home(home)
    if out is not None:
        out = output_folder(out, "--out")
    _copy_later(where)
    _compare(where, runs or [], out, as_json)


@app.command("report")
def report_command(
    study: Annotated[str, typer.Argument(help="The name of a study that was run.")],
    out: Annotated[Path | None, typer.Option("--out", help="The page's file.")] = None,
    home: HomeOption = None,
) -> None:
    """Write a study as one HTML page that needs no network: tables, figures, R of every cell, settings.

    Example: lynx-cl experiment report smoke --out smoke.html
    """
    from lynx_cl.continual.comparison import cell_tables, rows
    from lynx_cl.continual.results import study_folder
    from lynx_cl.registry.durable import write_whole
    from lynx_cl.tracking.methods_table import methods_table
    from lynx_cl.tracking.report import report_page
    from lynx_cl.tracking.study_figures import draw_study

    folder = study_folder(resolve_home(home), study)
    plan = folder.study()
    path = out or folder.path / "report.html"
    output_folder(path.parent, "--out")
    path = output_file(path, "--out")
    made = rows(cell_tables(folder))
    header, cells = methods_table(made)
    with tempfile.TemporaryDirectory() as place:  # the home may be one that is only read
        figures = draw_study(made, Path(place))
        page = report_page(plan, made, header[1:], [cell[1:] for cell in cells], figures)
    write_whole(path, page.encode(), scratch=path.absolute().parent, what="study.report")
    print_facts({"report": path})


@app.command("export")
def export_command(
    study: Annotated[str, typer.Argument(help="The name of a study that was run.")],
    file: Annotated[Path, typer.Argument(help="The file to write.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the results of a study's whole cells to one file: all that tables and figures are made of, no weights.

    Example: lynx-cl experiment export smoke smoke.json.gz
    """
    from lynx_cl.continual.results import study_folder
    from lynx_cl.continual.results_file import export_results

    file = output_file(file, "FILE")
    written, left = export_results(study_folder(resolve_home(home), study), file)
    facts = {"study": study, "file": file, "bytes": file.stat().st_size, "cells": len(written), "left_out": left}
    print_json(facts) if as_json else print_facts({**facts, "left_out": f"{len(left)} that are not whole"})


@app.command("import")
def import_command(
    file: Annotated[str, typer.Argument(help="A file that 'export' wrote, or a study whose results ship.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take the results of a study's cells into this home, as if they had been run here; everything is checked first.

    Example: lynx-cl experiment import order && lynx-cl experiment compare order

    Cells that are whole here stay as they are. What 'run' adds to the study afterwards is compared with them.
    """
    from lynx_cl.continual.results import study_folder
    from lynx_cl.continual.results_file import import_results, results_file
    from lynx_cl.tracking.study import StudyTracker

    where = resolve_home(home)
    taken = import_results(where, results_file(file))
    folder = study_folder(where, taken.study)
    trouble = StudyTracker(where, folder.study()).copy(folder, last=True)
    if trouble:
        note(trouble)
    facts = {"study": taken.study, "cells": len(taken.new), "there_already": len(taken.there), "results": folder.path}
    print_json(facts) if as_json else print_facts(facts)


def _told(where: Home, plan: Study, cells: list[Cell], as_json: bool) -> None:
    """Which cells of a study would be run, and how many of them are done."""
    from lynx_cl.continual.results import study_folder
    from lynx_cl.continual.study import made_of

    folder = study_folder(where, plan.name)
    if folder.exists():
        folder.check(plan, made_of(plan, where))
    facts = {
        "study": plan.name,
        "base": plan.base,
        "tasks": list(plan.tasks),
        "orders": [list(order) for order in plan.sequences()],
        "methods": list(plan.methods),
        "seeds": list(plan.seeds),
        "cells": len(cells),
        "cells_done": sum(folder.cell(cell).holds(len(cell.order)) for cell in cells),
        "steps_of_a_task": plan.budget.steps,
        "results": folder.path,
    }
    print_json(facts) if as_json else print_facts(facts)


def _compare(where: Home, runs: list[str], out: Path | None, as_json: bool) -> None:
    from lynx_cl.continual.comparison import cell_tables, chosen, rows
    from lynx_cl.continual.results import run_studies
    from lynx_cl.tracking.methods_table import methods_table
    from lynx_cl.tracking.study_figures import draw_study

    folders = {folder.path.name: folder for folder in run_studies(where)}
    wanted = {run.partition("/")[0] for run in runs}
    if not wanted <= folders.keys():
        wanted = set()  # all are looked through, so that the complaint can name them
    known = [table for name, f in folders.items() if not wanted or name in wanted for table in cell_tables(f)]
    tables = chosen(known, runs)
    made, whole = rows(tables), rows(known)
    print_json([table.facts() for table in tables]) if as_json else print_table(*methods_table(made, whole))
    for table in tables:
        if table.failure is not None:
            note(f"{table.study}/{table.cell.key}: failed: {table.failure}")
    if as_json and out is None:
        return
    for name in dict.fromkeys(table.study for table in tables):
        own, all_of_it = ([row for row in group if row.study == name] for group in (made, whole))
        some = sum(len(row.cells) for row in own) < sum(len(row.cells) for row in all_of_it)
        place = out / name if out is not None else folders[name].path / ("figures/chosen" if some else "figures")
        for path in draw_study(own, place):
            note(f"figure: {path}")
        if out is not None:
            from lynx_cl.continual.results_file import FILE, export_results
            from lynx_cl.tracking.study_tables import write_tables

            header, cells = methods_table(own, all_of_it)
            for path in write_tables(folders[name].study(), own, header[1:], [cell[1:] for cell in cells], place):
                note(f"table: {path}")
            keys = {cell.cell.key for row in own for cell in row.whole}
            if keys:
                export_results(folders[name], place / FILE, keys)
                note(f"results: {place / FILE}")


def _copy_later(where: Home) -> None:
    """Logs what an earlier run could not, because the store was not to be reached."""
    from lynx_cl.continual.results import run_studies
    from lynx_cl.tracking.study import StudyTracker

    for folder in (folder for folder in run_studies(where) if folder.unlogged.exists()):
        trouble = StudyTracker(where, folder.study()).copy(folder, last=True)
        if trouble:
            note(trouble)
