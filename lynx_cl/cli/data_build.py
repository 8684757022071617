"""`lynx-cl data build`: a source's examples as files; or SCouT data from a folder of pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from lynx_cl.cli.options import HomeOption, JsonOption
from lynx_cl.cli.output import note, print_facts, print_json, print_table
from lynx_cl.errors import UsageError
from lynx_cl.home import resolve_home

TaskOption = Annotated[str | None, typer.Option("--task", help="The task card to ask by; grounding if not given.")]
LimitOption = Annotated[int | None, typer.Option("--pictures", "--scenes", min=1, help="The most pictures of a split.")]
_TOLD = 10  # faults that are told at once
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of scenes and questions.")]


def build_data(
    source: Annotated[str, typer.Argument(help="A data source: scout, scenes, voc:FOLDER, ...")],
    task: TaskOption = None,
    pictures: LimitOption = None,
    seed: SeedOption = 0,
    with_pictures: Annotated[bool, typer.Option("--with-pictures", help="Write the pictures too.")] = False,
    images: Annotated[
        Path | None, typer.Option("--images", help="With scout: a folder of pictures to be labelled.")
    ] = None,
    annotator: Annotated[
        str | None,
        typer.Option("--annotator", metavar="NAME", help="Who labels: oracle, detector:PLACE, vlm:PLACE or bank:TASK."),
    ] = None,
    second: Annotated[
        str | None,
        typer.Option("--second", metavar="NAME", help="Who must agree, named likewise; else nobody."),
    ] = None,
    boxes: Annotated[
        str | None, typer.Option("--boxes", help="Of the oracle: the boxes given, coco:FILE or voc:FOLDER.")
    ] = None,
    categories: Annotated[
        str | None,
        typer.Option("--categories", help="What to look for: a list with commas or a file; LABEL=WORDS renames."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="With --images: a folder of its own for the data.")] = None,
    iou: Annotated[
        float | None,
        typer.Option("--iou", help="IoU from which two annotators mean the same box; 0.5."),
    ] = None,
    doubled: Annotated[
        float | None,
        typer.Option("--doubled", help="IoU from which two boxes of one annotator are of one thing; 0.7."),
    ] = None,
    smallest: Annotated[
        float | None,
        typer.Option("--smallest", help="Least width and height of a box, fractions of the picture's; 0.02."),
    ] = None,
    score: Annotated[
        float | None, typer.Option("--score", help="Least score of a detector's box; 0.3 if not given.")
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option("--prompts", help="YAML with the questions that a model is asked, step by step.")
    ] = None,
    licence: Annotated[
        str | None, typer.Option("--licence", help="Of the pictures; else a LICENSE file's first line.")
    ] = None,
    shard: Annotated[int | None, typer.Option("--shard", min=1, help="Pictures in a file; 200 if not given.")] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", min=1, help="Pictures looked at together; 8 if not given.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a source's examples as JSON lines with a manifest, under the home; or label pictures of your own.

    Example: lynx-cl data build scout --images photos --annotator oracle --boxes coco:boxes.json --out photos-scout
    """
    own = {
        "annotator": annotator,
        "second": second,
        "boxes": boxes,
        "categories": categories,
        "out": out,
        "iou": iou,
        "doubled": doubled,
        "smallest": smallest,
        "score": score,
        "prompts": prompts,
        "licence": licence,
        "shard": shard,
        "batch_size": batch_size,
    }
    given = {name: value for name, value in own.items() if value is not None}
    if images is not None:
        if source != "scout" or task is not None or with_pictures:
            raise UsageError("--images labels pictures for 'scout', whatever asks about them later: leave out the rest")
        tell(_scout(images, pictures, given, home), as_json)
        return
    for name in given:
        raise UsageError(f"--{name.replace('_', '-')} is for labelling pictures: give their folder with --images")
    from lynx_cl.data.built import build, read_manifest
    from lynx_cl.data.sources import open_source
    from lynx_cl.tasks import load_card

    place = resolve_home(home)
    opened = open_source(source, load_card(task, place) if task else None, seed=seed, limit=pictures)
    place.ensure_writable()
    folder = build(opened, place.data / source.partition(":")[0], images=with_pictures)
    facts = {"folder": folder, **read_manifest(folder)}
    if as_json:
        print_json(facts)
    else:
        print_facts(facts)


def _scout(images: Path, limit: int | None, given: dict[str, Any], home: str | None) -> dict[str, Any]:
    for name in ("annotator", "out"):
        if name not in given:
            raise UsageError(f"--images {images}: give --{name} too; see 'lynx-cl data build --help'")
    from lynx_cl.base.settings import read_settings
    from lynx_cl.continual.labellers import Wanted, open_labellers
    from lynx_cl.data.scouted.build import Order, build_scout
    from lynx_cl.data.scouted.filters import Filters

    def some(*names: str) -> dict[str, Any]:
        return {name: given[name] for name in names if name in given}

    filters = read_settings(Filters, some("iou", "doubled", "smallest"), "data build")
    order = Order(images, given["out"], filters, limit, **some("licence", "shard", "batch_size"))
    wanted = Wanted(**some("annotator", "second", "boxes", "categories", "score", "prompts", "batch_size"))
    first, second = open_labellers(wanted, resolve_home(home))
    return build_scout(order, first, second, note)


def tell(report: Mapping[str, Any], as_json: bool) -> None:
    """Prints what a build of pictures kept and refused."""
    if as_json:
        print_json(report)
        return
    from lynx_cl.data.scouted.filters import REASONS

    for fault in report["faults"][:_TOLD]:
        note(fault)
    if len(report["faults"]) > _TOLD:
        note(f"and {len(report['faults']) - _TOLD} more: {report['out']}/report.json")
    print_facts({name: report[name] for name in ("pictures", "things", "questions")})
    print_table(
        ("refused", "count", "what"),
        [(reason, report["refused"].get(reason, 0), what) for reason, what in REASONS.items()],
    )
    print(f"scout:{report['out']}  {report['digest']}")
