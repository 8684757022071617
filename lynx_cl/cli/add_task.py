"""`lynx-cl add-task`: learn a task, measure everything, commit; or leave the registry as it was."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lynx_cl.cli.options import HomeOption, JsonOption, SharedOption
from lynx_cl.cli.output import note, percent, print_facts, print_json, print_table
from lynx_cl.home import resolve_home

if TYPE_CHECKING:
    from lynx_cl.continual.plan import Plan


BankOption = Annotated[
    str | None, typer.Option("--bank", help="The bank's kind: twin (default), lora, block or external.")
]
DataOption = Annotated[str | None, typer.Option("--data", help="scout, scenes, voc:FOLDER, coco:FOLDER.")]
SettingsArgument = Annotated[list[str] | None, typer.Argument(help="Settings as key=value, e.g. train.steps=600.")]
BaseOption = Annotated[
    str | None, typer.Option("--base", help="A base's name, folder or hub name; the registry's own, or nano.")
]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="A YAML file of settings.")]
MinutesOption = Annotated[float | None, typer.Option("--max-minutes", help="Time limit of the training.")]
SeedOption = Annotated[int | None, typer.Option("--seed", help="Seed of bank and training.")]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint of this task.")]
DryOption = Annotated[bool, typer.Option("--dry-run", help="Train and measure, commit nothing.")]
ForgettingOption = Annotated[
    float | None, typer.Option("--max-forgetting", help="Refuse if an earlier task loses more points, task-blind.")
]
GrowthOption = Annotated[
    float | None, typer.Option("--max-growth", help="Refuse a bank above so many percent of the base.")
]
TotalOption = Annotated[
    float | None, typer.Option("--max-total-growth", help="Refuse if all banks exceed this percent of the base.")
]


def command(
    context: typer.Context,
    task: Annotated[str, typer.Argument(help="A task's name, or the path of a task folder.")],
    settings: SettingsArgument = None,
    data: DataOption = None,
    bank: BankOption = None,
    base: BaseOption = None,
    config: ConfigOption = None,
    max_minutes: MinutesOption = None,
    seed: SeedOption = None,
    resume: ResumeOption = False,
    dry_run: DryOption = False,
    adapter: Annotated[
        Path | None, typer.Option("--adapter", help="A PEFT LoRA trained elsewhere: the bank, as it is.")
    ] = None,
    max_forgetting: ForgettingOption = None,
    max_growth: GrowthOption = None,
    max_total_growth: TotalOption = None,
    allow_shared_annotator: SharedOption = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Learn a task: grow an expert bank beside the frozen base, measure every task, commit.

    Example: lynx-cl add-task grounding --data scout

    Ctrl-C or a kill leaves the registry as it was; --resume goes on from the last checkpoint.
    """
    from lynx_cl.continual.gates import Gates
    from lynx_cl.continual.plan import make_plan

    plan = make_plan(
        resolve_home(home),
        task,
        data=data,
        base=base,
        kind=bank,
        overrides=given(settings, max_minutes, seed),
        file=config,
        gates=Gates(max_forgetting, max_growth, max_total_growth),
        allow_shared=allow_shared_annotator,
        adapter=adapter,
    )
    carry_out(plan, context.obj, resume=resume, dry_run=dry_run, as_json=as_json)


def given(settings: list[str] | None, max_minutes: float | None, seed: int | None) -> list[str]:
    """The settings of a command line, those that have an option of their own among them."""
    own = {"train.max_minutes": max_minutes, "train.seed": seed}
    return [*(settings or []), *(f"{key}={value}" for key, value in own.items() if value is not None)]


def carry_out(plan: Plan, arguments: Sequence[str], *, resume: bool, dry_run: bool, as_json: bool) -> None:
    """Does what a plan says, in an MLflow run of its own, and prints what came of it.

    `arguments` are those of the command line: other processes that train with this one are started with them.
    """
    from lynx_cl.continual.add import add_task
    from lynx_cl.continual.train import follow
    from lynx_cl.tracking.mlflow import AddRun
    from lynx_cl.training.ranks import present_rank

    if not present_rank().leads:
        follow(plan, resume=resume)
        return

    name = f"{plan.command.removesuffix('-task')} {plan.card.name}"
    tags = {"task": plan.card.name, "bank": plan.kind, "dry_run": str(dry_run).lower()}
    with AddRun(plan.home, name, tags) as run:
        outcome = add_task(
            plan,
            run,
            note,
            resume=resume,
            progress=sys.stderr.isatty(),
            dry_run=dry_run,
            again=(sys.executable, "-m", "lynx_cl", *arguments),
        )
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
            "snapshot": outcome.snapshot or "none: a dry run commits nothing",
            "run": f"{outcome.run_id} in {plan.home.mlflow_db}",
        }
    )
