"""`lynx-cl base`: the bases that ship, what Lynx-CL knows of one, and how the embedded one is made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lynx_cl.cli.options import JsonOption, output_folder
from lynx_cl.cli.output import note, print_facts, print_json, print_table
from lynx_cl.errors import UsageError

if TYPE_CHECKING:
    from lynx_cl.base.taps import Tap

app = typer.Typer(help="List, show, add and pretrain bases.", no_args_is_help=True)


@app.command("list")
def list_bases(as_json: JsonOption = False) -> None:
    """List the bases that ship with Lynx-CL.

    Example: lynx-cl base list
    """
    from lynx_cl.base.card import read_card
    from lynx_cl.home import shipped

    folders = sorted(path.parent for path in (shipped("registry") / "bases").glob("*/base.yaml"))
    rows = [_facts(folder) for folder in folders]
    if as_json:
        print_json(rows)
        return
    print_table(
        ("base", "family", "parameters", "licence"),
        [
            (row["name"], row["family"], f"{row['parameters']:,}", read_card(folder).licence)
            for row, folder in zip(rows, folders, strict=True)
        ],
    )


@app.command("show")
def show_base(
    base: Annotated[str, typer.Argument(help="A shipped base, a local folder or a hub name.")],
    taps: Annotated[bool, typer.Option("--taps", help="Load it, and print where banks will act.")] = False,
    every: Annotated[int, typer.Option("--every", min=1, help="With --taps: every how many layers.")] = 2,
    as_json: JsonOption = False,
) -> None:
    """Show what Lynx-CL knows of a base.

    Example: lynx-cl base show nano --taps
    """
    from lynx_cl.base.card import find_base

    place = find_base(base)
    if not isinstance(place, Path):
        raise UsageError(f"base '{base}': not in a local folder; download it first and give its folder")
    facts = _facts(place)
    if taps:
        from lynx_cl.base.load import load_base
        from lynx_cl.base.taps import find_taps

        loaded = load_base(base)
        found = find_taps(loaded.model, every, loaded.card.taps)
        facts["taps"] = found if as_json else [told(tap) for tap in found]
        facts["fingerprint"] = loaded.fingerprint
    if as_json:
        print_json(facts)
    else:
        print_facts(facts)


@app.command("add")
def add_base(
    base: Annotated[Path, typer.Argument(help="A folder that holds a model and its processor.")],
    name: Annotated[str | None, typer.Option("--name", help="What to call it; else the folder's name.")] = None,
    taps: Annotated[
        str | None, typer.Option("--taps", help="Module path with one * for the layer, where none are found.")
    ] = None,
    grammar: Annotated[
        str | None, typer.Option("--grammar", help="How boxes are written: brackets (of a new card) or keyed.")
    ] = None,
    dtype: Annotated[
        str | None, typer.Option("--dtype", help="auto (as saved; of a new card), float32, bfloat16 or float16.")
    ] = None,
    quantise: Annotated[
        str | None, typer.Option("--quantise", help="Keep its linear layers in 8 bits (int8) or 4 (nf4), or none.")
    ] = None,
    device_map: Annotated[
        str | None,
        typer.Option("--device-map", help="Spread it over GPUs, memory and disk: auto, balanced, sequential; or none."),
    ] = None,
    max_memory: Annotated[
        list[str] | None, typer.Option("--max-memory", help="What it may take of a place: 0=20GiB, cpu=40GiB.")
    ] = None,
    template: Annotated[
        Path | None, typer.Option("--chat-template", help="A Jinja file to use in place of the processor's own.")
    ] = None,
    licence: Annotated[str, typer.Option("--licence", help="The licence of its weights.")] = "",
    data: Annotated[
        list[str] | None,
        typer.Option("--data", help="A source it learned from; 'data check --registry' looks there too."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Look at a base, and write its card (base.yaml) beside its weights.

    Example: lynx-cl base add ./SmolVLM-256M-Instruct --licence Apache-2.0

    The card names the family, the taps, the chat template and the box grammar. It is loaded once, so that a card is
    written only for a base that works; `lynx-cl doctor --base` then tries it and tells what memory an add will need.
    """
    from lynx_cl.base.card import CARD_FILE, write_card
    from lynx_cl.base.register import describe
    from lynx_cl.data.grammar import get_grammar
    from lynx_cl.data.readers import absolute, find_reader

    folder = base.expanduser()
    if grammar is None and not (folder / CARD_FILE).exists():
        grammar = "brackets"
    if grammar is not None:
        get_grammar(grammar)
    for spec in data or ():
        find_reader(spec)
    given: dict[str, Any] = {
        "name": name,
        "taps": taps,
        "grammar": grammar,
        "dtype": dtype,
        "quantise": quantise,
        "device_map": device_map,
        "max_memory": dict(_amount(text) for text in max_memory or ()),
        "licence": licence,
        "data": [absolute(spec) for spec in data or ()],
    }
    card = describe(folder, template=template, **given)
    path = write_card(folder, card)
    if as_json:
        print_json({**card.model_dump(), "card": path})
    else:
        print_facts({"card": path, **card.model_dump(exclude_defaults=True)})


@app.command("pretrain")
def pretrain_base(
    name: Annotated[str, typer.Argument(help="nano, or scenes-dino: the detector that ships beside it.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for checkpoints, logs and the finished model.")],
    scale: Annotated[float, typer.Option("--scale", min=0.0001, help="Shorten every stage by this factor.")] = 1.0,
    stage: Annotated[
        str | None,
        typer.Option("--stage", help="Run one stage only: tower, decoder, joint, sparse, signs, lookups or wider."),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="A finished nano: it stands for the first four stages of nano; scenes-dino takes its tower.",
        ),
    ] = None,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Threads of computation.")] = 2,
) -> None:
    """Pretrain the embedded base anew, or the detector; nano goes on from its checkpoints if it was stopped.

    Example: lynx-cl base pretrain nano --out ./nano --from ./registry/bases/nano
    """
    if name not in ("nano", "scenes-dino"):
        raise UsageError(f"base '{name}' has no recipe here; known: nano, scenes-dino")
    if name == "scenes-dino" and stage is not None:
        raise UsageError("--stage: scenes-dino is made in one; leave it out")
    from lynx_cl.base.nano.pretrain import RECIPE

    known = [one.name for one in RECIPE]
    if stage is not None and stage not in known:
        raise UsageError(f"stage '{stage}' is unknown; known: {', '.join(known)}")
    out = output_folder(out, "--out")
    with _threads(threads):
        if name == "nano":
            _pretrain_nano(out, scale, stage, start)
        else:
            _pretrain_detector(out, scale, start)


def _pretrain_nano(out: Path, scale: float, stage: str | None, start: Path | None) -> None:
    from lynx_cl.base.nano.pretrain import pretrain

    base = pretrain(out, note, steps_scale=scale, only=stage, start=start)
    if base is not None:
        from lynx_cl.continual.nano import finish

        print_facts({"base": base, **finish(base, note)})


def _pretrain_detector(out: Path, scale: float, start: Path | None) -> None:
    from lynx_cl.base.dino.pretrain import STEPS, pretrain
    from lynx_cl.continual.dino import finish_detector
    from lynx_cl.home import shipped

    nano = start or shipped("registry") / "bases" / "nano"
    folder = pretrain(nano, out, note, steps=max(1, round(scale * STEPS)))
    print_facts({"detector": folder, **finish_detector(folder, note)})


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Computes with so many threads, and afterwards with as many as before: exact logits hang on it."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _amount(text: str) -> tuple[str, str]:
    place, equals, amount = text.partition("=")
    if not (place and equals and amount):
        raise UsageError(f"--max-memory {text}: give it as PLACE=AMOUNT, as in cpu=40GiB or 0=20GiB")
    return place, amount


def told(tap: Tap) -> tuple[str, str, str]:
    """A tap as one line: where, how wide, of what kind."""
    kind = "sparse mixture" if tap.sparse else "dense"
    return tap.name, f"{tap.hidden} -> {tap.intermediate} -> {tap.hidden}", kind


def _facts(folder: Path) -> dict[str, Any]:
    from lynx_cl.base.card import count_parameters, read_card

    card = read_card(folder)
    facts: dict[str, Any] = {"name": card.name or folder.name, **card.model_dump(exclude={"name"}), "folder": folder}
    facts["parameters"] = count_parameters(folder)
    scores = folder / "scores.json"
    if scores.exists():
        facts["scores"] = json.loads(scores.read_text(encoding="utf-8"))
    return facts
