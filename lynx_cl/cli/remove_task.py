"""`lynx-cl remove-task`: unlearn a task exactly."""

from __future__ import annotations

from typing import Annotated

import typer

from lynx_cl.cli.options import HomeOption, JsonOption, open_registry
from lynx_cl.cli.output import note, print_json


def command(
    task: Annotated[str, typer.Argument(help="The task, with all its versions.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a task out: the state, and so the router, are then as if it had never been added.

    Example: lynx-cl remove-task grounding

    Its bytes stay until 'lynx-cl registry gc' removes them; copies of the registry, MLflow runs and the log's lines are
    not touched.
    """
    from lynx_cl.registry.algebra import remove_task

    registry = open_registry(home)
    snapshot = remove_task(registry, task)
    if as_json:
        print_json({"task": task, "snapshot": snapshot.digest, "state": snapshot.state})
        return
    note(f"{registry.path}: {task} is out; 'lynx-cl registry gc' removes its bytes")
