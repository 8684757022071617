"""Reading settings strictly: an unknown key or a wrong value becomes one sentence that says what is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from lynx_cl.errors import UsageError


class Settings(BaseModel):
    """Frozen settings that refuse keys they do not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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
