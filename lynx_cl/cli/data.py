"""`lynx-cl data`: what there is to learn from; build it, look at it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lynx_cl.cli.data_build import LimitOption, SeedOption, TaskOption, build_data
from lynx_cl.cli.options import HomeOption, JsonOption, output_file
from lynx_cl.cli.output import note, print_facts, print_json, print_table
from lynx_cl.home import resolve_home

PAGES = (".html", ".htm")
app = typer.Typer(help="Build, list and show data sets.", no_args_is_help=True)


@app.command("list")
def list_data(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the kinds of data source, and the data sets built in the home.

    Example: lynx-cl data list
    """
    from lynx_cl.data.built import read_manifest
    from lynx_cl.data.readers import READERS

    kinds = [{"source": reader.form(name), "summary": reader.summary} for name, reader in READERS.items()]
    built = []
    for path in sorted(resolve_home(home).data.glob("*/*/manifest.json")):
        manifest = read_manifest(path.parent)
        built.append({"source": f"built:{path.parent}", "summary": f"{manifest['source']} for {manifest['task']}"})
    if as_json:
        print_json({"kinds": kinds, "built": built})
    else:
        print_table(("source", "what it is"), [(row["source"], row["summary"]) for row in [*kinds, *built]])


@app.command("show")
def show_data(
    source: Annotated[str, typer.Argument(help="A data source: scout, scenes, voc:FOLDER, ...")],
    task: TaskOption = None,
    split: Annotated[str, typer.Option("--split", help="train, calibration or test.")] = "train",
    count: Annotated[int, typer.Option("--count", min=1, max=400, help="How many pictures to draw.")] = 20,
    save: Annotated[
        Path | None, typer.Option("--save", help="Where it goes, .png or .html; ./NAME.png if not given.")
    ] = None,
    pictures: LimitOption = None,
    seed: SeedOption = 0,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw samples with their boxes, as a PNG or as a page with all questions, and print what the source holds.

    Example: lynx-cl data show refcoco:data/refcoco --split test --save samples.html
    """
    from lynx_cl.data.page import sample_page
    from lynx_cl.data.sheet import contact_sheet
    from lynx_cl.data.sources import open_source
    from lynx_cl.tasks import load_card

    path = output_file(save or Path(f"{source.partition(':')[0]}.png"), "--save", (".png", *PAGES))
    card = load_card(task, resolve_home(home)) if task is not None else None
    opened = open_source(source, card, seed=seed, limit=pictures)
    draw = sample_page if path.suffix.lower() in PAGES else contact_sheet
    drawn = draw(opened, split, count, path)
    facts = {**opened.summary(), "digest": opened.digest(), "drawn": drawn, "sheet": path}
    if opened.remarks():
        facts["remarks"] = list(opened.remarks())
    if as_json:
        print_json(facts)
    else:
        print_facts(facts)


@app.command("check")
def check_data(
    source: Annotated[str, typer.Argument(help="A data source of files: coco:FOLDER, llava:FILE, ...")],
    against: Annotated[
        list[str] | None,
        typer.Option("--against", help="Also look for test pictures among what this source, or itself, learns from."),
    ] = None,
    registry: Annotated[
        bool, typer.Option("--registry", help="As --against, with the data of every task in the registry.")
    ] = False,
    pictures: LimitOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """List every broken record and picture with its file; exit 1 if there is one.

    With --against or --registry, also every picture that one of the sources tests on and any of them learns from.

    Example: lynx-cl data check llava:train.json --against coco:coco
    """
    from lynx_cl.continual.data_check import check

    found = check(source, against or [], resolve_home(home) if registry else None, pictures)
    if as_json:
        print_json(found)
    else:
        for line in (*found.broken, *found.shared):
            print(line)
        note(found.verdict())
    if found.broken or found.shared:
        raise typer.Exit(1)


app.command("build")(build_data)
