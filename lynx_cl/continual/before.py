"""What an add measures before it trains: the base alone, and where a gate needs it, what is there already."""

from __future__ import annotations

from collections.abc import Callable

from lynx_cl.base.load import Base
from lynx_cl.continual.history import stages_of, uncompared
from lynx_cl.continual.learned import Learned, tests
from lynx_cl.continual.measure import TaskUnderTest, main_scores, measure
from lynx_cl.continual.plan import Plan
from lynx_cl.continual.scores import task_test
from lynx_cl.registry.snapshot import BASE_TASK
from lynx_cl.router.router import Router

Say = Callable[[str], None]


def all_tests(plan: Plan, base: Base, known: Learned) -> list[TaskUnderTest]:
    """What is measured after the add: the base's own questions, every earlier task, the new one."""
    settings = plan.config.evaluation
    earlier = tests(list(known.versions.values()), base, settings.examples, settings.understanding)
    return [*earlier, task_test(plan.card, plan.source, plan.grammar, settings.examples)]


def base_alone(plan: Plan, base: Base, known: Learned, tested: list[TaskUnderTest], say: Say) -> dict[str, float]:
    """Row 0 of R for what is new: the new task, and with the first task the base's own questions."""
    new = {plan.card.name} if known.versions else {plan.card.name, BASE_TASK}
    say("measure: the base alone")
    chosen = [task for task in tested if task.name in new]
    return main_scores(measure(base, None, None, chosen, batch_size=plan.config.evaluation.batch_size))


def scores_before(
    plan: Plan, base: Base, known: Learned, tested: list[TaskUnderTest], router: Router, say: Say
) -> dict[str, float]:
    """For a gate on forgetting: earlier tasks as they answer now, task-blind, where no stage scored the same examples.

    They may have been scored on fewer or more of them then, or have come by a merge.
    """
    if plan.gates.max_forgetting is None or not known.versions:  # without a task the base alone was measured
        return {}
    asked = {test.name: len(test.examples) for test in tested if test.name != plan.card.name}
    names = uncompared(stages_of(plan.registry), asked)
    chosen = [test for test in tested if test.name in names]
    for test in chosen:
        say(f"measure: {test.name} before the add, which was scored on other examples")
    with known.attached(base) as attachment:
        measured = measure(base, attachment, router, chosen, batch_size=plan.config.evaluation.batch_size)
    return main_scores(measured, "blind")
