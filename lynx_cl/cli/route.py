"""`lynx-cl route`: which bank would answer a prompt, how sure the router is and why; and what may go wrong with it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lynx_cl.cli.options import HomeOption, JsonOption, RouteErrorOption, open_registry, output_folder
from lynx_cl.cli.output import note, percent, print_facts, print_json, print_table
from lynx_cl.errors import UsageError

if TYPE_CHECKING:
    from lynx_cl.registry import Registry
    from lynx_cl.router.embedders import Embedder
    from lynx_cl.router.router import Decision, Router, RouterConfig

BASELINES = ("nearest_mean", "knn", "joint_logistic")


def command(
    prompt: Annotated[
        str | None, typer.Argument(help="What is asked. Of more than 256 tokens, the first 256 are read.")
    ] = None,
    image: Annotated[
        str | None, typer.Option("--image", metavar="FILE", help="The picture; needed where the router looks at it.")
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say why: the set, the bounds, what is promised.")] = False,
    audit: Annotated[
        bool, typer.Option("--audit", help="Find tasks that are confused, alike, or hardly known.")
    ] = False,
    bench: Annotated[
        Path | None,
        typer.Option(
            "--bench", metavar="PATH", help="Judge it on labelled prompts: JSON lines, or a folder of intents."
        ),
    ] = None,
    save: Annotated[
        Path | None, typer.Option("--save", metavar="FOLDER", help="Where a folder's tables go; else its results/.")
    ] = None,
    route_error: RouteErrorOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show which bank would answer a prompt, and why. Nothing known being near, the base answers.

    Example: lynx-cl route "Locate the dog." --explain

    A line of a --bench file is {"text": ..., "task": ..., "split": "train"}; splits are train, calibration and test,
    and a test prompt of no task has the task null. A folder of intents is that of the routing study, see
    experiments/routing/README.md. No bank is trained and no registry is needed.
    """
    from transformers.utils import logging

    wanted = [name for name, value in (("a PROMPT", prompt), ("--audit", audit), ("--bench", bench)) if value]
    if prompt is not None and not prompt.strip():
        raise UsageError("prompt: it is empty; write what you want to know")
    if len(wanted) != 1:
        raise UsageError(f"route: give one of a PROMPT, --audit and --bench PATH, not {' and '.join(wanted) or 'none'}")
    changes = {} if route_error is None else {"error": route_error}
    logging.disable_progress_bar()
    registry = open_registry(home)
    if save is not None and not (bench is not None and bench.expanduser().is_dir()):
        raise UsageError("--save goes with --bench and a folder of intents")
    if bench is not None and bench.expanduser().is_dir():
        _study(registry, bench.expanduser(), save, changes, as_json)
    elif bench is not None:
        _bench(registry, bench.expanduser(), changes, as_json)
    elif audit:
        _audit(registry, as_json)
    else:
        _route(registry, str(prompt), image, changes, explain, as_json)


def _route(
    registry: Registry, prompt: str, image: str | None, changes: dict[str, Any], explain: bool, as_json: bool
) -> None:
    from lynx_cl.router.embedders import Request
    from lynx_cl.router.stored import router_of

    picture = None
    if image is not None:
        from lynx_cl.data.example import open_image

        picture = open_image(Path(image))
    request = Request(prompt, picture)
    router = router_of(registry, changes=changes)
    if image is not None and not router.embedder.pictures:
        note(f"--image {image}: the router's embedder {router.embedder.name} does not look at pictures")
    decision = router.decide([request], explain=True)[0]
    if as_json:
        print_json({**dataclasses.asdict(decision), **(_why(router, decision) if explain else {})})
        return
    facts: dict[str, Any] = {
        "task": decision.task,
        "abstained": "yes: nothing known is near" if decision.abstained else "no",
    }
    if not explain:
        facts["probabilities"] = {task: percent(share) for task, share in decision.probabilities.items()}
        print_facts(facts)
    else:
        why = _why(router, decision)
        if decision.distance is not None and decision.bound is not None:
            beyond = "above" if decision.abstained else "within"
            facts["distance"] = f"{decision.distance:.3f}, {beyond} the bound of {decision.bound:.3f}"
        facts["set"] = ", ".join(decision.candidates) or "empty"
        facts["who answers"] = why["policy"]
        facts["the set misses the right bank"] = router.promise.text()
        print_facts(facts)
        ranked = sorted(decision.probabilities.items(), key=lambda pair: -pair[1])[:10]
        print_table(
            ("task", "probability", "in the set"),
            ((task, percent(share), "yes" if task in decision.candidates else "no") for task, share in ranked),
        )
    if decision.nearest:
        rows = ((near.text, near.task, f"{near.similarity:.3f}") for near in decision.nearest)
        print_table(("nearest prompt", "task", "similarity"), rows)


def _why(router: Router, decision: Decision) -> dict[str, Any]:
    several = len(decision.candidates) > 1
    policy = {
        "top": "the likeliest of the set",
        "mix": "all of the set, mixed by probability",
        "ask": "nobody: the set is returned",
    }[router.config.several]
    return {
        "promise": dataclasses.asdict(router.promise),
        "policy": policy if several else "the one bank of the set" if decision.candidates else "the base",
        "mix": decision.mix(),
        "embedder": router.embedder.name,
        "method": router.config.method,
        "shrinkage": router.shrinkage,
        "temperature": router.temperature,
    }


def _audit(registry: Registry, as_json: bool) -> None:
    from lynx_cl.router.audit import audit
    from lynx_cl.router.stored import router_of

    found = audit(router_of(registry))
    if as_json:
        print_json(found)
        return
    for line in found.lines():
        print(line)
    if not found.lines():
        note("no two tasks are confused, no two are alike, and each is known by enough prompts")


def _study(registry: Registry, folder: Path, save: Path | None, changes: dict[str, Any], as_json: bool) -> None:
    from lynx_cl.router.intents import read_intents
    from lynx_cl.router.study import read_study, run_study
    from lynx_cl.tracking.routing import write_study

    config, embedder = _embedder(registry, folder, changes)
    intents, wanted = read_intents(folder), read_study(folder)
    out = output_folder(save or folder / "results", "--save")
    facts = run_study(intents, embedder, config, wanted, note)
    write_study(facts, out)
    if as_json:
        print_json(facts)
        return
    shown = ("method", "balanced_accuracy", "macro_f1", "ece", "ood_auroc", "ood_fpr95", "microseconds")
    print_table(shown, [[row[name] for name in shown] for row in facts["usual"]])
    note(f"tables and figures: {out}")


def _bench(registry: Registry, path: Path, changes: dict[str, Any], as_json: bool) -> None:
    from lynx_cl.router import bench

    config, embedder = _embedder(registry, path, changes)
    records = bench.read_prompts(path)
    splits = bench.embed(records, embedder)
    facts = bench.judge(bench.fit(splits, embedder, config), splits, BASELINES)
    if as_json:
        print_json(facts)
        return
    peers = facts.pop("baselines")
    print_facts(facts)
    ours = ("this router", facts["balanced_accuracy"], facts["macro_f1"], facts["microseconds"])
    rows = [ours, *((name, *(told[key] for key in told)) for name, told in peers.items())]
    print_table(("method", "balanced accuracy", "macro F1", "microseconds"), rows)


def _embedder(registry: Registry, path: Path, changes: dict[str, Any]) -> tuple[RouterConfig, Embedder]:
    from lynx_cl.router.embedders import embedder_named, needs_base
    from lynx_cl.router.stored import router_config

    config = router_config(registry, changes)
    if needs_base(config.embedder):
        raise UsageError(
            f"--bench {path}: the registry's embedder {config.embedder} needs pictures; give another --home"
        )
    return config, embedder_named(config.embedder, None)
