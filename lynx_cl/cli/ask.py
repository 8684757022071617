"""`lynx-cl ask`: a question about a picture, answered by the bank that the router chooses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lynx_cl.cli.options import (
    PICTURES,
    HomeOption,
    JsonOption,
    RouteErrorOption,
    SeveralOption,
    open_registry,
    output_file,
    router_changes,
)
from lynx_cl.cli.output import note, print_json

if TYPE_CHECKING:
    from lynx_cl.continual.answering import FoundBox


def command(
    image: Annotated[Path, typer.Argument(help="A picture file; - for none, where the base reads text.")],
    prompt: Annotated[str, typer.Argument(help="What to ask about it.")],
    task: Annotated[
        str | None, typer.Option("--task", help="Name the bank instead of routing; 'base' for none.")
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Split a request that asks for several things; answer each by its own bank.")
    ] = False,
    route_error: RouteErrorOption = None,
    several: SeveralOption = None,
    save: Annotated[Path | None, typer.Option("--save", help="Write the picture with the boxes drawn on it.")] = None,
    base: Annotated[str, typer.Option("--base", help="The base, where the registry has none yet.")] = "nano",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask about a picture.

    Example: lynx-cl ask photo.png "Count the dogs and box the largest." --plan --save out.png
    """
    from lynx_cl.data.example import open_image
    from lynx_cl.errors import UsageError

    if not prompt.strip():
        raise UsageError("ask: the prompt is empty; say what you want to know")
    changes = router_changes(route_error, several)
    if task is not None and (plan or changes):
        raise UsageError("--task leaves nothing to route; give it without --plan, --several and --route-error")
    picture = open_image(image) if str(image) != "-" else None
    if save is not None and picture is None:
        raise UsageError("--save: there is no picture to draw on; give one in the place of -")
    if save is not None:
        save = output_file(save, "--save", PICTURES)
    registry = open_registry(home)
    if task is not None and task != "base":
        registry.task(task)
    from lynx_cl.continual.answering import ask, ask_plan
    from lynx_cl.router.stored import router_config

    mixed = task is None and router_config(registry, changes).several == "mix"
    if plan:
        planned = ask_plan(registry, base, picture, prompt, changes)
        boxes = [found for part in planned.parts for found in part.boxes]
    else:
        result = ask(registry, base, picture, prompt, task, changes)
        boxes = list(result.boxes)
    if save is not None and picture is not None:
        from lynx_cl.tracking.figures import draw_boxes

        draw_boxes(picture, [(found.label, found.box) for found in boxes], save)
    if as_json:
        print_json(planned if plan else result)
    elif plan:
        for part in planned.parts:
            print(part.text)
            _tell(part.answer, part.boxes, part.task, part.candidates, mixed, indent="  ")
    else:
        _tell(result.text, result.boxes, result.task, result.candidates, mixed)


def _tell(
    text: str,
    boxes: Sequence[FoundBox],
    task: str | None,
    candidates: Mapping[str, float],
    mixed: bool,
    indent: str = "",
) -> None:
    kept = ", ".join(f"{name} {100 * share:.0f} %" for name, share in candidates.items())
    if task is None:
        print(f"{indent}several banks may answer: {kept}; name one with --task")
        return
    print(f"{indent}{text}")
    for found in boxes:
        print(f"{indent}{found.label or 'box'}: " + ", ".join(f"{side:.1f}" for side in found.box))
    note(f"{indent}answered by: {f'a mix of {kept}' if mixed and len(candidates) > 1 else task}")
