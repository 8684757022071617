"""The options that many commands share, and the one way from `--home` to a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lynx_cl.home import VARIABLE, resolve_home

if TYPE_CHECKING:
    from lynx_cl.registry import Registry

HomeOption = Annotated[
    str | None,
    typer.Option("--home", envvar=VARIABLE, metavar="PATH", help="Folder of registry, data, checkpoints and runs."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the facts as JSON on standard output.")]


def open_registry(home: str | None) -> Registry:
    """The registry of the home in force; it need not exist yet."""
    from lynx_cl.registry import Registry

    return Registry(resolve_home(home).registry)
