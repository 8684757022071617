"""`lynx-cl evaluate`: every task on its own test examples, with the task given and through the router."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import typer

from lynx_cl.cli.options import (
    HomeOption,
    JsonOption,
    RouteErrorOption,
    SeveralOption,
    SharedOption,
    open_registry,
    router_changes,
)
from lynx_cl.cli.output import note, percent, print_facts, print_json, print_table
from lynx_cl.cli.suites import read_protocols, tell, tell_understanding
from lynx_cl.errors import UsageError
from lynx_cl.home import resolve_home

_SUCH = {
    "localisation": "coco:FOLDER or scenes",
    "refexp": "refcoco:FOLDER",
    "phrase": "flickr30k:FOLDER",
    "understanding": "scenes, vqav2:FOLDER or pope:FILE",
}


def command(
    examples: Annotated[
        int, typer.Option("--examples", min=1, help="Test examples of each task; of a suite, pictures or questions.")
    ] = 300,
    questions: Annotated[int, typer.Option("--questions", min=12, help="Questions of the base's own task.")] = 300,
    composed: Annotated[
        bool, typer.Option("--composed", help="Score requests that ask for a number and a box, by who answers them.")
    ] = False,
    suite: Annotated[
        Literal["localisation", "refexp", "phrase", "understanding"] | None,
        typer.Option("--suite", help="A standard evaluation, on --data; see docs/evaluation.md."),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option("--data", help="With --suite: the source whose test split is asked; of understanding, several."),
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", help="With --suite: who answers, instead of routing; 'base' for no bank.")
    ] = None,
    ask: Annotated[
        str | None, typer.Option("--ask", help="With --suite: the task in whose test phrasings is asked.")
    ] = None,
    protocols: Annotated[
        str | None, typer.Option("--protocols", help="Of localisation: 1 everything, 2 general, 3 categories by name.")
    ] = None,
    absent: Annotated[
        int | None,
        typer.Option("--absent", min=0, help="Of localisation: how many categories a picture lacks are asked; or all."),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", min=1, help="With --suite: requests in a forward, 32 if not given.")
    ] = None,
    tokens: Annotated[
        int | None,
        typer.Option(
            "--tokens", min=1, help="With --suite: most tokens of an answer, 512 if not given, 64 of understanding."
        ),
    ] = None,
    route_error: RouteErrorOption = None,
    several: SeveralOption = None,
    test: Annotated[
        list[str] | None,
        typer.Option(
            "--test",
            metavar="TASK[@VERSION]=SOURCE",
            help="Score a task, or an earlier version of it, on another source's test split.",
        ),
    ] = None,
    allow_shared_annotator: SharedOption = False,
    base: Annotated[str, typer.Option("--base", help="The base, where the registry has none yet.")] = "nano",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score every task, forgetting, growth and routing; or requests that need two banks; or a standard evaluation.

    Example: lynx-cl evaluate --suite localisation --data scenes --protocols 1,3 --json
    """
    own = {"--data": data or None, "--task": task, "--ask": ask, "--batch-size": batch_size, "--tokens": tokens}
    of_localisation = {"--protocols": protocols, "--absent": absent}
    if suite is None:
        _refuse({**own, **of_localisation}, "needs --suite")
    elif suite != "localisation":
        _refuse(of_localisation, "is for --suite localisation")
    if suite == "understanding":
        _refuse(
            {"--ask": ask}, "is for suites that ask for boxes; those of understanding say their questions themselves"
        )
    changes = router_changes(route_error, several)
    if suite is not None:
        if not data:
            raise UsageError(f"--suite {suite}: give its data with --data, such as {_SUCH[suite]}")
        if composed:
            raise UsageError("--composed is an evaluation of its own; leave out --suite or --composed")
        if task is not None and changes:
            raise UsageError("--task leaves nothing to route; give it without --several and --route-error")
        asked = read_protocols(protocols) if protocols is not None else None
        registry = open_registry(home)
        given: dict[str, Any] = {"batch_size": batch_size, "tokens": tokens}
        given = {name: value for name, value in given.items() if value is not None}
        if suite == "understanding":
            from lynx_cl.continual.suite_understanding import UnderstandingSuite, run_understanding

            whole = UnderstandingSuite(tuple(data), examples, task, changes=changes, **given)
            tell_understanding(run_understanding(whole, registry, base, note), as_json)
            return
        if len(data) > 1:
            raise UsageError(f"--suite {suite}: takes one --data, not {len(data)}")
        from lynx_cl.continual.suites import Suite, run_suite

        given |= {"protocols": asked} if asked is not None else {}
        wanted = Suite(suite, data[0], examples, task, ask, absent=absent, changes=changes, **given)
        tell(run_suite(wanted, registry, base, resolve_home(home), note), as_json)
        return
    if composed and several is not None:
        raise UsageError("--composed scores every way to answer; leave out --several")
    if composed and test:
        raise UsageError("--composed has questions of its own; leave out --test")
    registry = open_registry(home)
    if composed:
        from lynx_cl.continual.evaluate import evaluate_composed

        _tell_composed(evaluate_composed(registry, examples, note, changes), as_json)
        return
    from lynx_cl.continual.evaluate import evaluate

    facts = evaluate(
        registry,
        base,
        examples,
        questions,
        note,
        changes,
        more_tests=test or (),
        allow_shared=allow_shared_annotator,
    )
    if as_json:
        print_json(facts)
        return
    print_table(
        ("task", "metric", "value"),
        [(task, metric, value) for task, scores in facts["tasks"].items() for metric, value in scores.items()],
    )
    print_table(
        ("task", "loss in its bank", "loss in routing"),
        [(task, *map(_measured, (parts["bank"], parts["routing"]))) for task, parts in facts["loss"].items()],
    )
    _tell_annotators(facts.get("annotators", {}))
    asked = facts["routing"].get("asked")
    print_facts(
        {
            "forgetting, mean": facts["forgetting"]["mean"],
            "growth": f"{percent(facts['growth']['total'])} total, {percent(facts['growth']['active'])} active",
            "routing accuracy": facts["routing"]["accuracy"],
            **({"handed back": f"{percent(asked)} of the requests"} if asked is not None else {}),
            "routing confusion": facts["routing"]["confusion"],
        }
    )


def _refuse(options: Mapping[str, object], why: str) -> None:
    for name, value in options.items():
        if value is not None:
            raise UsageError(f"{name} {why}")


def _tell_annotators(scores: dict[str, dict[str, dict[str, float]]]) -> None:
    """The matrix of who labelled what was learned from and who what is tested on, where there is more than one."""
    tested = list(dict.fromkeys(name for cells in scores.values() for name in cells))
    if len({*scores, *tested}) < 2:
        return
    print_table(
        ("learned from labels of", "task", *(f"tested on {name}" for name in tested)),
        [
            (trained, task, *(cells.get(name, {}).get(task) for name in tested))
            for trained, cells in scores.items()
            for task in dict.fromkeys(task for one in cells.values() for task in one)
        ],
    )


def _measured(value: float) -> float | None:
    return None if math.isnan(value) else value


def _tell_composed(facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(facts)
        return
    print_table(
        ("answered by", "count", "box", "both"),
        [
            (policy, *(scores[part] for part in ("count", "box", "both")))
            for policy, scores in facts["policies"].items()
        ],
    )
    print_facts(
        {
            "better bank": facts["single"],
            "split as meant": percent(facts["split"]),
            "and routed right": percent(facts["routed"]),
            "requests": facts["examples"],
        }
    )
