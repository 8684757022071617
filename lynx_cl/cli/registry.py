"""`lynx-cl registry`: what has been learned, what each task version consists of, and whether every byte is right."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lynx_cl.cli.options import HomeOption, JsonOption, open_registry
from lynx_cl.cli.output import note, percent, print_facts, print_json, print_table
from lynx_cl.errors import LynxError

if TYPE_CHECKING:
    from lynx_cl.registry import Registry, TaskVersion

app = typer.Typer(help="List, show and verify the tasks learned.", no_args_is_help=True)


@app.command("list")
def list_tasks(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the current version of every task.

    Example: lynx-cl registry list --json
    """
    registry = open_registry(home)
    rows = registry.list()
    if as_json:
        print_json(rows)
    elif not rows:
        note(f"{registry.path}: no tasks yet; 'lynx-cl add-task grounding --data scout' learns the first")
    else:
        columns = ("task", "version", "kind", "parameters", "growth", "active growth", "base", "bank", "created")
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
                    row.base,
                    row.digest[:12],
                    row.created,
                )
                for row in rows
            ),
        )


@app.command("show")
def show_task(
    task: Annotated[str, typer.Argument(help="A task, or one version of it as NAME@2.")],
    certificate: Annotated[bool, typer.Option("--certificate", help="Print what the add proved instead.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a task version consists of and how it came to be.

    Example: lynx-cl registry show grounding
    """
    registry = open_registry(home)
    version = registry.task(task)
    if certificate:
        facts = _certificate(registry, version)
    else:
        facts = _facts(registry, version)
    if as_json:
        print_json(facts)
    else:
        print_facts(facts)


@app.command("verify")
def verify_registry(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Check every byte against its digest; names what changed or is missing.

    Example: lynx-cl registry verify
    """
    from lynx_cl.registry import verify

    registry = open_registry(home)
    problems = verify(registry)
    objects = sum(1 for _ in registry.objects)
    if as_json:
        print_json({"ok": not problems, "objects": objects, "problems": problems})
    elif problems:
        print_table(("file", "problem"), ((problem.path, problem.message) for problem in problems))
    else:
        print(f"{registry.path}: {objects} objects, all as they were written")
    if problems:
        raise LynxError(f"{registry.path}: {len(problems)} of its files are wrong; restore them from a copy")


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
        "files": {**manifest.files, **record.files},
        **record.model_dump(exclude={"format", "files"}),
    }


def _certificate(registry: Registry, version: TaskVersion) -> dict[str, Any]:
    digest = version.record.files.get("certificate")
    if digest is None:
        raise LynxError(f"{version.task}@{version.version} in {registry.path} has no certificate")
    return dict(json.loads(registry.read(digest)))
