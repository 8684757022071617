"""`lynx-cl registry router`: how a registry's requests are routed, and other settings for it."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import typer

from lynx_cl.cli.options import HomeOption, JsonOption, open_registry
from lynx_cl.cli.output import note, print_facts, print_json
from lynx_cl.errors import UsageError


def command(
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings to change; none shows them.")
    ] = None,
    base: Annotated[str, typer.Option("--base", help="The base, where the registry has none yet.")] = "nano",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the router's settings and what it promises, or change them for everybody who uses this registry.

    Example: lynx-cl registry router embedder=both error=0.05

    Keys: embedder (text, text:FOLDER, trunk, both), method, shrinkage, temperature, error, several (top, mix, ask),
    quantile, neighbours. Another embedder embeds the requests of all tasks anew.
    """
    registry = open_registry(home)
    changes = _read(settings or [])
    if changes:
        from lynx_cl.router.stored import router_config

        router_config(registry, changes)  # a wrong setting is told before anything heavy
        from lynx_cl.continual.reembed import change_router

        made = change_router(registry, base, changes, note)
        note(f"{registry.path}: router changed; snapshot {made.digest[:12]}")
    from lynx_cl.router.stored import router_of

    router = router_of(registry, base)
    facts: dict[str, Any] = {
        **router.config.model_dump(),
        "solved": {"shrinkage": router.shrinkage, "temperature": router.temperature, "exact": router.nearness.exact},
        "promise": dataclasses.asdict(router.promise),
        "tasks": {task.task: {"prompts": task.count, "calibration": len(task.calibration)} for task in router.tasks},
    }
    if as_json:
        print_json(facts)
        return
    print_facts({**facts, "promise": router.promise.text()})


def _read(settings: list[str]) -> dict[str, Any]:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    for text in settings:
        if "=" not in text:
            raise UsageError(f"setting {text!r}: give it as key=value, for instance error=0.05")
    try:
        found = OmegaConf.to_container(OmegaConf.from_dotlist(settings), resolve=True)
    except (OmegaConfBaseException, YAMLError, ValueError) as error:
        raise UsageError(f"settings: {' '.join(str(error).split())}") from None
    return {str(key): value for key, value in dict(found).items()}  # type: ignore[arg-type]
