"""What a registry gives its readers: task versions with all they consist of, and the rows of its list."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from lynx_cl.errors import LynxError
from lynx_cl.registry.snapshot import AddRecord, TaskManifest

Stored = TypeVar("Stored", bound=BaseModel)


@dataclass(frozen=True)
class TaskVersion:
    """One version of a task as read from a registry. `digest` names the manifest; `bank` the bank's own bytes."""

    task: str
    version: int
    current: bool
    digest: str
    manifest: TaskManifest
    record: AddRecord

    @property
    def bank(self) -> str:
        return self.manifest.files["bank"]


@dataclass(frozen=True)
class Row:
    """One line of `registry list`. `growth_*` are fractions of the base; `digest` is the sha256 of the bank's bytes."""

    task: str
    version: int
    kind: str
    parameters: int
    growth_total: float
    growth_active: float
    base: str
    digest: str
    created: str


def row(version: TaskVersion, base: str) -> Row:
    """The line of a task version in a registry whose base has this name."""
    manifest = version.manifest
    return Row(
        task=version.task,
        version=version.version,
        kind=manifest.kind,
        parameters=manifest.parameters,
        growth_total=manifest.growth_total,
        growth_active=manifest.growth_active,
        base=base,
        digest=version.bank,
        created=version.record.created,
    )


def parse(model: type[Stored], data: bytes, path: Path) -> Stored:
    """A stored model from its bytes. Raises LynxError that names the file and the first key that is wrong."""
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the file"
        raise LynxError(f"{path}: {key}: {first['msg']}; written by another version of lynx-cl?") from error
