"""Reading settings strictly: an unknown key or a wrong value becomes one sentence that says what is allowed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

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
            known = ", ".join(sorted(_fields(kind, error["loc"][:-1])))
            raise UsageError(f"{where}: key '{key}' is unknown; known: {known}") from None
        if error["type"] == "missing":
            raise UsageError(f"{where}: key '{key}' is missing") from None
        message = error["msg"].removeprefix("Value error, ")
        if not error["loc"]:
            raise UsageError(f"{where}: {message}") from None
        raise UsageError(f"{where}: {key} = {error['input']!r}: {message[0].lower()}{message[1:]}") from None


def _fields(kind: Any, place: Sequence[int | str]) -> Iterable[str]:
    """The keys that settings of `kind` know at a place in them, those of `kind` itself where that cannot be told."""
    here = kind
    for part in place:
        if isinstance(here, type) and issubclass(here, BaseModel):
            here = here.model_fields[str(part)].annotation if part in here.model_fields else None
        elif get_args(here):
            here = get_args(here)[-1]
    return (here if isinstance(here, type) and issubclass(here, BaseModel) else kind).model_fields


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
        where = f"settings {' '.join(overrides)}" if overrides else "settings"
        merged = OmegaConf.merge(merged, OmegaConf.from_dotlist(list(overrides)))
        where = str(files[-1]) if files else where
        values: Any = OmegaConf.to_container(merged, resolve=True)
    except FileNotFoundError:
        raise UsageError(f"{where}: no such settings file") from None
    except (TypeError, AssertionError):  # what a file of a list or of a word gives
        raise UsageError(f"{where}: settings are a mapping of keys to values") from None
    except OSError as error:
        if error.errno is None:  # a file of a number
            raise UsageError(f"{where}: settings are a mapping of keys to values") from None
        raise UsageError(f"{where}: {error.strerror}") from None
    except (OmegaConfBaseException, YAMLError, ValueError) as error:
        raise UsageError(f"{where}: {' '.join(str(error).split())}") from None
    return {str(key): value for key, value in values.items()}
