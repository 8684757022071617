"""What `lynx-cl registry` moves: merging with another registry, one task in a file, a registry at an address."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lynx_cl.cli.options import HomeOption, JsonOption, open_registry
from lynx_cl.cli.output import note, print_json
from lynx_cl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lynx_cl.registry import Registry
    from lynx_cl.registry.algebra import Merged

PreferOption = Annotated[str | None, typer.Option("--prefer", help="Settle conflicts: ours, theirs or both.")]


def merge_from(
    other: Annotated[Path, typer.Argument(help="Another home, or the registry folder in it.")],
    prefer: PreferOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take in the tasks of another registry of the same base.

    Example: lynx-cl registry merge ../colleague/home

    A task that both have with different content is a conflict: nothing is taken until --prefer says which to keep; both
    keeps the two as versions, and the later one answers.
    """
    from lynx_cl.registry import Registry
    from lynx_cl.registry.algebra import merge

    registry = open_registry(home)
    folder = other.expanduser()
    source = Registry(folder / "registry" if (folder / "registry").is_dir() else folder)
    if not source.exists():
        raise UsageError(f"{other}: no registry here; give a home, or the folder registry in one")
    done = merge(registry, source, prefer)  # type: ignore[arg-type]
    _tell(registry, [done], as_json)


def export_one(
    task: Annotated[str, typer.Argument(help="A task, or one version of it as NAME@2.")],
    file: Annotated[Path, typer.Argument(help="The archive to write, or with --peft the folder.")],
    as_peft: Annotated[
        bool, typer.Option("--peft", help="Write a PEFT adapter directory: a lora bank of one expert.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write one task to one file: weights, router statistics, card, record and certificate.

    Example: lynx-cl registry export grounding grounding.lynx

    With --peft it writes the bank alone, for use without Lynx-CL: plain transformers and peft then give its logits.
    """
    if as_peft:
        _export_peft(open_registry(home), task, file.expanduser(), as_json)
        return
    from lynx_cl.registry.archive import export_task

    done = export_task(open_registry(home), task, file.expanduser())
    if as_json:
        print_json(done)
    else:
        note(f"{file}: {done.task}@{done.version}, bank {done.bank[:12]}, {done.bytes / 1e6:.1f} MB")


def _export_peft(registry: Registry, task: str, folder: Path, as_json: bool) -> None:
    import safetensors.torch

    from lynx_cl.banks.peft_format import export_adapter
    from lynx_cl.base.places import base_of

    version = registry.task(task)
    tensors = safetensors.torch.load(registry.read(version.bank))
    export_adapter(version.manifest.kind, version.manifest.bank_config, tensors, folder, base_of(registry))
    if as_json:
        print_json({"task": version.task, "version": version.version, "folder": folder, "base": base_of(registry)})
    else:
        note(f"{folder}: {version.task}@{version.version} as a PEFT adapter of {base_of(registry)}")


def import_one(
    file: Annotated[Path, typer.Argument(help="An archive that 'registry export' wrote.")],
    prefer: PreferOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Megabytes that it may hold.")] = 8192,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take in the task of an archive; everything in it is checked before anything is written.

    Example: lynx-cl registry import grounding.lynx
    """
    from lynx_cl.registry.archive import import_archive
    from lynx_cl.router.statistics import check_statistics

    registry = open_registry(home)
    done = import_archive(
        registry,
        file.expanduser(),
        prefer,  # type: ignore[arg-type]
        limit=limit << 20,
        checks={"router": check_statistics},
    )
    _tell(registry, [done], as_json)


def push_to(
    address: Annotated[str, typer.Argument(help="A folder, s3://BUCKET/PATH, or another address that fsspec reads.")],
    prefer: PreferOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring the registry to an address, merged with what others pushed there; only what it lacks travels.

    Example: lynx-cl registry push s3://team/lynx

    S3 takes its keys, region and endpoint from the environment (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL and so on).
    """
    from lynx_cl.registry.remote import push

    done = push(open_registry(home), address, prefer)  # type: ignore[arg-type]
    if as_json:
        print_json(done)
    else:
        merged = f", merged with {done.merged} that others pushed" if done.merged else ""
        note(f"{address}: {done.snapshot[:12]}{merged}; {done.objects} objects, {done.bytes / 1e6:.1f} MB travelled")


def pull_from(
    address: Annotated[str, typer.Argument(help="Where a registry was pushed to.")],
    prefer: PreferOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take in what was pushed to an address, each byte checked; only what is not here travels.

    Example: lynx-cl registry pull s3://team/lynx
    """
    from lynx_cl.registry.remote import pull

    registry = open_registry(home)
    done = pull(registry, address, prefer)  # type: ignore[arg-type]
    _tell(registry, done, as_json)


def _tell(registry: Registry, done: Sequence[Merged], as_json: bool) -> None:
    """What merges brought, one after the other."""
    taken = sorted({name for merged in done for name in merged.taken})
    settled = sorted({name for merged in done for name in merged.settled} - set(taken))
    if as_json:
        head = done[-1].snapshot
        print_json({"snapshot": head.digest, "state": head.state, "taken": taken, "settled": settled})
    else:
        note(f"{registry.path}: taken: {', '.join(taken) or 'none'}; settled: {', '.join(settled) or 'none'}")


COMMANDS: dict[str, Callable[..., None]] = {
    "merge": merge_from,
    "export": export_one,
    "import": import_one,
    "push": push_to,
    "pull": pull_from,
}
