"""`lynx-cl route`: which bank would answer a prompt, how sure the router is, and which kept prompts speak for it."""

from __future__ import annotations

from typing import Annotated

import typer

from lynx_cl.cli.options import HomeOption, JsonOption, open_registry
from lynx_cl.cli.output import percent, print_facts, print_json, print_table


def command(
    prompt: Annotated[str, typer.Argument(help="What is asked. Of more than 256 tokens, the first 256 are read.")],
    image: Annotated[
        str | None, typer.Option("--image", metavar="FILE", help="The picture; needed where the router looks at it.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show which bank would answer a prompt, and why. Nothing known being near, the base answers.

    Example: lynx-cl route "Locate the dog." --json
    """
    from transformers.utils import logging

    from lynx_cl.router.embedders import Request
    from lynx_cl.router.stored import router_of

    picture = None
    if image is not None:
        from pathlib import Path

        from lynx_cl.data.example import open_image

        picture = open_image(Path(image))
    request = Request(prompt, picture)
    logging.disable_progress_bar()
    decision = router_of(open_registry(home)).decide([request])[0]
    if as_json:
        print_json(decision)
        return
    print_facts(
        {
            "task": decision.task,
            "abstained": "yes: nothing known is near" if decision.abstained else "no",
            "probabilities": {task: percent(share) for task, share in decision.probabilities.items()},
        }
    )
    if decision.nearest:
        rows = ((near.text, near.task, f"{near.similarity:.3f}") for near in decision.nearest)
        print_table(("nearest prompt", "task", "similarity"), rows)
