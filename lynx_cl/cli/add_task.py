"""`lynx-cl add-task`: learn a task, measure everything, commit; or leave the registry as it was."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from lynx_cl.cli.options import HomeOption, JsonOption
from lynx_cl.cli.output import note, percent, print_facts, print_json, print_table
from lynx_cl.home import resolve_home


def command(
    task: Annotated[str, typer.Argument(help="A task's name, or the path of a task folder.")],
    settings: Annotated[list[str] | None, typer.Argument(help="Settings as key=value, e.g. train.steps=600.")] = None,
    data: Annotated[str | None, typer.Option("--data", help="scout, scenes, voc:FOLDER, coco:FOLDER.")] = None,
    bank: Annotated[str, typer.Option("--bank", help="The bank's kind: twin or lora.")] = "twin",
    base: Annotated[str, typer.Option("--base", help="A base's name, folder or hub name.")] = "nano",
    config: Annotated[Path | None, typer.Option("--config", help="A YAML file of settings.")] = None,
    max_minutes: Annotated[float | None, typer.Option("--max-minutes", help="Time limit of the training.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of bank and training.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint of this task.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Learn a task: grow an expert bank beside the frozen base, measure every task, commit.

    Example: lynx-cl add-task grounding --data scout

    Ctrl-C or a kill leaves the registry as it was; --resume goes on from the last checkpoint.
    """
    from lynx_cl.continual.plan import make_plan

    given = list(settings or [])
    if max_minutes is not None:
        given.append(f"train.max_minutes={max_minutes}")
    if seed is not None:
        given.append(f"train.seed={seed}")
    plan = make_plan(
        resolve_home(home), task, data=data, base=base, kind=bank, overrides=given, file=config, command="add-task"
    )
    from lynx_cl.continual.add import add_task
    from lynx_cl.tracking.mlflow import AddRun

    with AddRun(plan.home, f"add {plan.card.name}", {"task": plan.card.name, "bank": plan.kind}) as run:
        outcome = add_task(plan, run, note, resume=resume, progress=sys.stderr.isatty())
    if as_json:
        print_json(outcome.facts())
        return
    rows = []
    lost = outcome.facts()["forgetting"]["tasks"]
    for name, measured in outcome.measured.items():
        rows.append(
            (
                name,
                measured.metric,
                outcome.stages[-1].alone.get(name),
                measured.aware[measured.metric],
                measured.blind[measured.metric],
                measured.routing_accuracy,
                lost.get(name),
            )
        )
    print_table(("task", "metric", "base alone", "task given", "task-blind", "routed right", "forgotten"), rows)
    print_facts(
        {
            "growth": f"{percent(outcome.growth['total'])} total, {percent(outcome.growth['active'])} active",
            "seconds": round(outcome.seconds, 1),
            "bank": outcome.digest,
            "snapshot": outcome.snapshot,
            "run": f"{outcome.run_id} in {plan.home.mlflow_db}",
        }
    )
