"""`lynx-cl evaluate`: every task on its own test examples, with the task given and through the router."""

from __future__ import annotations

from typing import Annotated

import typer

from lynx_cl.cli.options import HomeOption, JsonOption, open_registry
from lynx_cl.cli.output import note, percent, print_facts, print_json, print_table


def command(
    examples: Annotated[int, typer.Option("--examples", min=1, help="Test examples of each task.")] = 300,
    questions: Annotated[int, typer.Option("--questions", min=12, help="Questions of the base's own task.")] = 300,
    base: Annotated[str, typer.Option("--base", help="The base, where the registry has none yet.")] = "nano",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score every task, forgetting, growth and routing.

    Example: lynx-cl evaluate --json
    """
    registry = open_registry(home)
    from lynx_cl.continual.evaluate import evaluate

    facts = evaluate(registry, base, examples, questions, note)
    if as_json:
        print_json(facts)
        return
    print_table(
        ("task", "metric", "value"),
        [(task, metric, value) for task, scores in facts["tasks"].items() for metric, value in scores.items()],
    )
    print_facts(
        {
            "forgetting, mean": facts["forgetting"]["mean"],
            "growth": f"{percent(facts['growth']['total'])} total, {percent(facts['growth']['active'])} active",
            "routing accuracy": facts["routing"]["accuracy"],
            "routing confusion": facts["routing"]["confusion"],
        }
    )
