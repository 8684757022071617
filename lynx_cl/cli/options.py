"""The options that many commands share, and the one way from `--home` to a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lynx_cl.errors import UsageError
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
