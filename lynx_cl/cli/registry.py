"""`lynx-cl registry`: what has been learned, and whether every byte of it is right."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lynx_cl.cli import registry_moves, registry_router, registry_states
from lynx_cl.cli.options import HomeOption, JsonOption, open_registry
from lynx_cl.cli.output import note, percent, print_facts, print_json, print_table
from lynx_cl.errors import LynxError

if TYPE_CHECKING:
    from lynx_cl.continual.deep import Promise
    from lynx_cl.registry import Registry, TaskVersion

app = typer.Typer(
    help="List, show, verify, sign, compare, move, merge and roll back what was learned.", no_args_is_help=True
)


@app.command("list")
def list_tasks(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the current version of every task.

    Example: lynx-cl registry list --json
    """
    registry = open_registry(home)
    rows = registry.list()
    if as_json:
        print_json([{key: value for key, value in vars(row).items() if key != "score"} for row in rows])
    elif not rows:
        note(f"{registry.path}: no tasks yet; 'lynx-cl add-task grounding --data scout' learns the first")
    else:
        columns = (
            "task",
            "version",
            "kind",
            "parameters",
            "growth",
            "active growth",
            "score",
            "base",
            "bank",
            "created",
        )
        print_table(
            columns,
            (
                (
                    row.task,
                    row.version,
                    row.kind,
                    f"{row.parameters:,}",
                    percent(row.growth_total),
                    percent(row.growth_active),
                    row.score,
                    row.base,
                    row.digest[:12],
                    row.created,
                )
                for row in rows
            ),
        )


@app.command("show")
def show_task(
    task: Annotated[
        str, typer.Argument(help="A task, or one version of it as NAME@2; with --certificate also a snapshot.")
    ],
    certificate: Annotated[
        bool, typer.Option("--certificate", help="Print what the add, or the commit of a snapshot, proved instead.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a task version consists of and how it came to be.

    Example: lynx-cl registry show grounding

    A snapshot is given by its digest or at least 4 digits of it, as 'lynx-cl registry log' prints them.
    """
    registry = open_registry(home)
    if certificate and task.partition("@")[0] not in registry.tasks() and re.fullmatch("[0-9a-f]{4,64}", task):
        facts = _commit_certificate(registry, task)
    elif certificate:
        facts = _certificate(registry, registry.task(task))
    else:
        facts = _facts(registry, registry.task(task))
    if as_json:
        print_json(facts)
        return
    prompts = facts.get("card", {}).get("prompts")
    if prompts:
        counts = {section: f"{len(phrasings)} phrasings" for section, phrasings in prompts.items() if phrasings}
        facts = {**facts, "card": {**facts["card"], "prompts": counts}}
    print_facts(facts)


@app.command("verify")
def verify_registry(
    deep: Annotated[bool, typer.Option("--deep", help="Also run what the certificates promise again.")] = False,
    signed: Annotated[
        list[Path] | None,
        typer.Option("--signed", help="A public key that must have signed the present state; may be given again."),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check every byte against its digest; names what changed or is missing.

    Example: lynx-cl registry verify --deep

    With --deep the base, each bank and the router run again on this machine, and the promises of each certificate
    (logits, parameters, router error) are held against what is seen.
    """
    from lynx_cl.registry import verify

    registry = open_registry(home)
    problems = verify(registry)
    objects = sum(1 for _ in registry.objects)
    if signed and not problems:
        from lynx_cl.registry.sign import signer

        note(f"{registry.path}: signed by {signer(registry, [path.expanduser() for path in signed])}")
    promises: list[Promise] = []
    if deep and not problems and registry.exists():
        from lynx_cl.continual.deep import verify_deep

        promises = verify_deep(registry)
    broken = [promise for promise in promises if promise.holds is False]
    if as_json:
        facts = {"ok": not problems and not broken, "objects": objects, "problems": problems}
        print_json({**facts, "promises": promises} if deep else facts)
    elif problems:
        print_table(("file", "problem"), ((problem.path, problem.message) for problem in problems))
    else:
        print(f"{registry.path}: {objects} objects, all as they were written")
        if promises:
            words = {True: "holds", False: "BROKEN", None: "cannot tell"}
            print_table(
                ("task", "promise", "", "seen"), ((p.task, p.promise, words[p.holds], p.seen) for p in promises)
            )
    if broken:
        first = broken[0]
        raise LynxError(
            f"{registry.path}: {len(broken)} promises broken: {first.promise} of {first.task}: {first.seen}"
        )
    if problems:
        raise LynxError(f"{registry.path}: {len(problems)} of its files are wrong; restore them from a copy")


@app.command("sign")
def sign_head(
    key: Annotated[Path, typer.Option("--key", help="A private Ed25519 key in PEM.")],
    new_key: Annotated[bool, typer.Option("--new-key", help="Make the key first, and FILE.pub beside it.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign the present snapshot, and with it all that it holds.

    Example: lynx-cl registry sign --key team.pem --new-key

    'lynx-cl registry verify --signed team.pem.pub' checks it.
    """
    from lynx_cl.registry import sign

    registry = open_registry(home)
    registry.head()
    key = key.expanduser()
    if new_key:
        note(f"{sign.new_key(key)}: the public key, to give to others")
    made = sign.sign(registry, key)
    if as_json:
        print_json(made)
    else:
        note(f"{registry.path}: snapshot {made.snapshot[:12]} signed by the key {made.key[:16]}")


for name, command in {**registry_states.COMMANDS, **registry_moves.COMMANDS}.items():
    app.command(name)(command)
app.command("router")(registry_router.command)


def _facts(registry: Registry, version: TaskVersion) -> dict[str, Any]:
    manifest, record = version.manifest, version.record
    entry = registry.entries()[version.task]
    return {
        "task": version.task,
        "version": version.version,
        "current": version.current,
        "versions": sorted(entry.versions),
        "kind": manifest.kind,
        "parameters": manifest.parameters,
        "growth_total": manifest.growth_total,
        "growth_active": manifest.growth_active,
        "base": registry.head().base.name,
        "base_fingerprint": manifest.base,
        "digest": version.bank,
        "manifest": version.digest,
        "bank_config": manifest.bank_config,
        "card": manifest.card,
        "data": manifest.data,
        "training": manifest.training,
        "prototypes": _prototypes(registry, version),
        "files": {**manifest.files, **record.files},
        **record.model_dump(exclude={"format", "files"}),
    }


def _prototypes(registry: Registry, version: TaskVersion) -> list[list[str]]:
    """For each of the router's prototypes of a task, the kept requests nearest to it."""
    from lynx_cl.router.statistics import TaskStatistics

    digest = version.manifest.files.get("router")
    if digest is None:
        return []
    try:
        return TaskStatistics.from_bytes(registry.read(digest), version.task).nearest_texts()
    except LynxError:  # of a made-up bank, or of a later format; the other facts are worth showing
        return []


def _certificate(registry: Registry, version: TaskVersion) -> dict[str, Any]:
    digest = version.record.files.get("certificate")
    if digest is None:
        raise LynxError(f"{version.task}@{version.version} in {registry.path} has no certificate")
    return dict(json.loads(registry.read(digest)))


def _commit_certificate(registry: Registry, digest: str) -> dict[str, Any]:
    from lynx_cl.registry.algebra import find_snapshot

    snapshot = find_snapshot(registry, digest)
    if snapshot.certificate is None:
        raise LynxError(f"snapshot {snapshot.digest[:12]} in {registry.path} has no certificate")
    return dict(json.loads(registry.read(snapshot.certificate)))
