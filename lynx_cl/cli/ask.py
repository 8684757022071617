"""`lynx-cl ask`: a question about a picture, answered by the bank that the router chooses."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lynx_cl.cli.options import HomeOption, JsonOption, open_registry
from lynx_cl.cli.output import note, print_json


def command(
    image: Annotated[Path, typer.Argument(help="A picture file.")],
    prompt: Annotated[str, typer.Argument(help="What to ask about it.")],
    task: Annotated[
        str | None, typer.Option("--task", help="Name the bank instead of routing; 'base' for none.")
    ] = None,
    save: Annotated[Path | None, typer.Option("--save", help="Write the picture with the boxes drawn on it.")] = None,
    base: Annotated[str, typer.Option("--base", help="The base, where the registry has none yet.")] = "nano",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask about a picture.

    Example: lynx-cl ask photo.png "Locate the dog." --save out.png
    """
    from lynx_cl.data.example import open_image
    from lynx_cl.errors import UsageError

    if not prompt.strip():
        raise UsageError("ask: the prompt is empty; say what you want to know")
    picture = open_image(image)
    if save is not None and not save.absolute().parent.is_dir():
        raise UsageError(f"--save {save}: no such folder")
    registry = open_registry(home)
    if task is not None and task != "base":
        registry.task(task)
    from lynx_cl.continual.answering import ask

    result = ask(registry, base, picture, prompt, task)
    if save is not None:
        from lynx_cl.tracking.figures import draw_boxes

        draw_boxes(picture, [(found.label, found.box) for found in result.boxes], save)
    if as_json:
        print_json(result)
        return
    print(result.text)
    for found in result.boxes:
        print(f"{found.label or 'box'}: " + ", ".join(f"{side:.1f}" for side in found.box))
    note(f"answered by: {result.task}")
