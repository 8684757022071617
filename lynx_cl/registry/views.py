"""What a registry gives its readers: task versions with all they consist of, and the rows of its list."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from lynx_cl.errors import LynxError
from lynx_cl.registry.snapshot import AddRecord, TaskEntry, TaskManifest

Model = TypeVar("Model", bound=BaseModel)


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
    """One line of `registry list`. `growth_*` are fractions of the base; `digest` is the sha256 of the bank's bytes;
    `score` is the main one when it was added, task-blind."""

    task: str
    version: int
    kind: str
    parameters: int
    growth_total: float
    growth_active: float
    base: str
    digest: str
    created: str
    score: float | None = None


def row(task: str, entry: TaskEntry, base: str) -> Row:
    """The line of a task's current version in a registry whose base has this name."""
    version = entry.versions[entry.current]
    return Row(
        task=task,
        version=entry.current,
        kind=version.kind,
        parameters=version.parameters,
        growth_total=version.growth_total,
        growth_active=version.growth_active,
        base=base,
        digest=version.bank,
        created=version.created,
        score=version.score,
    )


def parse(model: type[Model], data: bytes, path: Path) -> Model:
    """A stored model from its bytes. Raises LynxError that names the file and the first key that is wrong."""
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the file"
        raise LynxError(f"{path}: {key}: {first['msg']}; written by another version of lynx-cl?") from error
