"""`lynx-cl update-task`: a new version of a task, from the present bank or anew."""

from __future__ import annotations

from typing import Annotated

import typer

from lynx_cl.cli.add_task import (
    BankOption,
    BaseOption,
    ConfigOption,
    DataOption,
    DryOption,
    ForgettingOption,
    GrowthOption,
    MinutesOption,
    ResumeOption,
    SeedOption,
    SettingsArgument,
    TotalOption,
    carry_out,
    given,
)
from lynx_cl.cli.options import HomeOption, JsonOption, SharedOption
from lynx_cl.home import resolve_home


def command(
    context: typer.Context,
    task: Annotated[str, typer.Argument(help="A task of the registry.")],
    settings: SettingsArgument = None,
    anew: Annotated[bool, typer.Option("--anew", help="Start from the base, not from the present bank.")] = False,
    data: DataOption = None,
    bank: BankOption = None,
    base: BaseOption = None,
    config: ConfigOption = None,
    max_minutes: MinutesOption = None,
    seed: SeedOption = None,
    resume: ResumeOption = False,
    dry_run: DryOption = False,
    max_forgetting: ForgettingOption = None,
    max_growth: GrowthOption = None,
    max_total_growth: TotalOption = None,
    allow_shared_annotator: SharedOption = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a new version of a task, from its present bank or anew, measure every task, commit.

    Example: lynx-cl update-task grounding --max-minutes 5

    The old version stays and can be named, as in grounding@1; 'lynx-cl registry rollback' returns to it.
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
        update=True,
        anew=anew,
        gates=Gates(max_forgetting, max_growth, max_total_growth),
        allow_shared=allow_shared_annotator,
    )
    carry_out(plan, context.obj, resume=resume, dry_run=dry_run, as_json=as_json)
