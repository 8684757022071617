"""The options that many commands share, the one way from `--home` to a registry, and where results may be written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lynx_cl.errors import LynxError, UsageError
from lynx_cl.home import VARIABLE, resolve_home

if TYPE_CHECKING:
    from lynx_cl.registry import Registry

HomeOption = Annotated[
    str | None,
    typer.Option("--home", envvar=VARIABLE, metavar="PATH", help="Folder of registry, data, checkpoints and runs."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the facts as JSON on standard output.")]
RouteErrorOption = Annotated[
    float | None,
    typer.Option("--route-error", help="How often the banks that the router keeps may miss the right one, 0 to 1."),
]
SeveralOption = Annotated[
    Literal["top", "mix", "ask"] | None,  # router.router.Several, whose module takes long to import
    typer.Option("--several", help="Who answers where it keeps several: the top one, a mix of them, or nobody."),
]
SharedOption = Annotated[
    bool,
    typer.Option("--allow-shared-annotator", help="Score even on labels of the model whose labels were learned from."),
]


PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


def output_file(path: Path, option: str, endings: Sequence[str] = ()) -> Path:
    """The file that an option names, looked at before any work is done for it; `~` is the user's own folder.

    Raises UsageError for another ending than those (any, where none is named), for a folder, and for a place in none.
    """
    path = path.expanduser()
    if path.is_dir():
        raise UsageError(f"{option} {path}: a folder; name a file in it")
    if endings and path.suffix.lower() not in endings:
        raise UsageError(f"{option} {path}: end its name in {', '.join(endings)}")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"{option} {path}: no such folder")
    return path


def output_folder(path: Path, option: str) -> Path:
    """The folder that an option names, made where it is not there. Raises LynxError where it cannot be made."""
    path = path.expanduser()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LynxError(f"{path}: cannot be made ({error.strerror}); name another folder with {option}") from None
    return path


def open_registry(home: str | None) -> Registry:
    """The registry of the home in force; it need not exist yet."""
    from lynx_cl.registry import Registry

    return Registry(resolve_home(home).registry)


def router_changes(error: float | None, several: str | None) -> dict[str, object]:
    """What a command line puts over the router's settings. Raises UsageError for an error that is no share."""
    if error is not None and not 0 < error < 1:
        raise UsageError(f"--route-error {error:g}: give a share of requests, more than 0 and less than 1")
    given = {"error": error, "several": several}
    return {name: value for name, value in given.items() if value is not None}
