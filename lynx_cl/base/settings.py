"""Reading settings strictly: an unknown key or a wrong value becomes one sentence that says what is allowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lynx_cl.errors import UsageError


class Settings(BaseModel):
    """Frozen settings that refuse keys they do not know, and numbers that are not finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


#: Of random numbers; as large as all libraries take one.
Seed = Annotated[int, Field(ge=0, lt=2**32)]


S = TypeVar("S", bound=Settings)


def read_settings(kind: type[S], values: Mapping[str, Any], where: str) -> S:
    """`kind` made of `values`.

    Raises UsageError naming `where` (a file, or `bank`, `training`), the key and what is allowed.
    """
    try:
        return kind(**dict(values))
    except ValidationError as failure:
        error = failure.errors()[0]
        key = ".".join(str(part) for part in error["loc"]) or "settings"
        if error["type"] == "extra_forbidden":
            known = ", ".join(sorted(kind.model_fields))
            raise UsageError(f"{where}: key '{key}' is unknown; known: {known}") from None
        if error["type"] == "missing":
            raise UsageError(f"{where}: key '{key}' is missing") from None
        message = error["msg"].removeprefix("Value error, ")
        if not error["loc"]:
            raise UsageError(f"{where}: {message}") from None
        raise UsageError(f"{where}: {key} = {error['input']!r}: {message[0].lower()}{message[1:]}") from None


def layered(files: Sequence[Path], overrides: Sequence[str], example: str) -> dict[str, Any]:
    """YAML files laid one over another, and over them key=value from a command line, merged by OmegaConf.

    Raises UsageError for a file that is missing, no YAML or no mapping, and for an override that is not like `example`.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    for text in overrides:
        if "=" not in text:
            raise UsageError(f"setting {text!r}: give it as key=value, for instance {example}")
    where = "settings"
    try:
        merged: Any = OmegaConf.create()
        for file in files:
            where = str(file)
            merged = OmegaConf.merge(merged, OmegaConf.load(file))
        where = "settings"
        merged = OmegaConf.merge(merged, OmegaConf.from_dotlist(list(overrides)))
        values: Any = OmegaConf.to_container(merged, resolve=True)
    except FileNotFoundError:
        raise UsageError(f"{where}: no such settings file") from None
    except TypeError:  # what a file of a list gives
        raise UsageError(f"{where}: settings are a mapping of keys to values") from None
    except (OmegaConfBaseException, YAMLError, ValueError) as error:
        raise UsageError(f"{where}: {' '.join(str(error).split())}") from None
    return {str(key): value for key, value in values.items()}
