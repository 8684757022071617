"""What a registry states: manifests of task versions, records of how they came to be, and snapshots of the whole.

A **manifest** says what a task version *is*: it holds nothing that depends on when, where or after what it was trained,
so that the same training gives the same digest. A **record** says how it came to be: time, duration, scores, run. A
**snapshot** is one immutable state of the registry. Its state digest covers the base, the tasks' manifests and the
router's configuration; its own digest covers time, parent, command and records as well.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, model_validator

from lynx_cl.registry.canonical import canonical, sha256

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
TaskName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
Fraction = Annotated[float, Field(ge=0, allow_inf_nan=False)]

BASE_TASK = "base"  # the router's name for the base itself, which no bank may take
DIGEST = re.compile(r"[0-9a-f]{64}")
REMOVE, DROP = "remove-task", "drop-versions"
REVOKING = (REMOVE, DROP)  # commands that take away for good: nothing from before them is kept


class Stored(BaseModel):
    """Immutable, strict about its keys, and stored as canonical JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_bytes(self) -> bytes:
        return canonical(self.model_dump(mode="json"))

    def but(self, **changes: Any) -> Self:
        """The same with some fields changed, checked anew; `model_copy` would keep the digest that was."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self).model_validate({**fields, **changes})

    @cached_property
    def digest(self) -> str:
        """sha256 of the stored bytes."""
        return sha256(self.to_bytes())


class TaskManifest(Stored):
    """What one version of a task is.

    `base` is the fingerprint of the only base the bank fits. `growth_total` and `growth_active` are fractions of the
    base's parameters, all of them and those one token touches. `files` maps roles to object digests: `bank`
    (safetensors) always, `router` (the task's statistics). `card`, `data` (provenance and digests) and `training`
    (settings, seed) are plain JSON without times and without paths.
    """

    format: Literal[1] = 1
    task: TaskName
    kind: str
    bank_config: dict[str, JsonValue] = {}
    base: Digest
    parameters: Annotated[int, Field(ge=0)]
    growth_total: Fraction
    growth_active: Fraction
    card: dict[str, JsonValue] = {}
    data: dict[str, JsonValue] = {}
    training: dict[str, JsonValue] = {}
    files: dict[str, Digest] = {}

    @model_validator(mode="after")
    def _not_the_base(self) -> Self:
        if self.task == BASE_TASK:
            raise ValueError(f"a task cannot be named {BASE_TASK!r}: that is the base itself")
        return self


class AddRecord(Stored):
    """How a task version came to be.

    `created` is UTC in ISO 8601, `seconds` the time from start to commit, `run_id` the MLflow run, `source` the
    data source as it was named on this machine, `libraries` their versions. `files` maps roles to object digests:
    `certificate` (JSON), `samples` (pictures) and the like.
    """

    format: Literal[1] = 1
    created: str
    seconds: Fraction = 0.0
    run_id: str | None = None
    source: str | None = None
    scores: dict[str, JsonValue] = {}
    libraries: dict[str, str] = {}
    files: dict[str, Digest] = {}

    def score(self, task: str) -> float | None:
        """The main score of a task through the router as it was measured with this add; None where it was not."""
        blind = self.scores.get("blind")
        value = blind.get(task) if isinstance(blind, dict) else None
        return float(value) if isinstance(value, int | float) else None


class BaseRef(Stored):
    """The base of a registry; `files` are objects that belong to it, as the `router` statistics of its own requests."""

    name: str
    fingerprint: Digest
    files: dict[str, Digest] = {}


class Version(Stored):
    """One immutable version of a task: digests of its manifest and of its record, and of both what a list shows."""

    manifest: Digest
    record: Digest
    kind: str
    parameters: Annotated[int, Field(ge=0)]
    growth_total: Fraction
    growth_active: Fraction
    bank: Digest
    created: str
    score: float | None = None

    @classmethod
    def of(cls, manifest: TaskManifest, record: AddRecord) -> Version:
        """The version that a manifest and a record make."""
        return cls(
            manifest=manifest.digest,
            record=record.digest,
            kind=manifest.kind,
            parameters=manifest.parameters,
            growth_total=manifest.growth_total,
            growth_active=manifest.growth_active,
            bank=manifest.files["bank"],
            created=record.created,
            score=record.score(manifest.task),
        )


class TaskEntry(Stored):
    """A task's versions by number, and the one that answers requests."""

    current: int
    versions: dict[Annotated[int, Field(ge=1)], Version]

    @model_validator(mode="after")
    def _current_exists(self) -> Self:
        if self.current not in self.versions:
            raise ValueError(f"the current version {self.current} is not among {sorted(self.versions)}")
        return self

    def state_facts(self) -> dict[str, Any]:
        """What of it the state digest covers: which version is which and which one answers, not how they came."""
        versions = {str(number): version.manifest for number, version in self.versions.items()}
        return {"current": self.current, "versions": versions}


class NodeRef(Stored):
    """A node of the task tree: the object it is, the digest of the state below it, and how many tasks that has."""

    node: Digest
    state: Digest
    count: Annotated[int, Field(ge=1)]


class Snapshot(Stored):
    """One immutable state of a registry, and the change that led to it.

    `tasks` is the root of their tree (see tree.py), `parent` the digest of the snapshot before (none for the first),
    `time` UTC in ISO 8601, `command` and `task` what was done by `who`, `certificate` the object that proves it.
    """

    format: Literal[1] = 1
    base: BaseRef
    tasks: NodeRef | None = None
    router: dict[str, JsonValue] = {}
    certificate: Digest | None = None
    parent: Digest | None = None
    time: str
    command: str
    task: TaskName | None = None
    who: str

    @cached_property
    def state(self) -> str:
        """Digest of what the registry holds, whatever the order, the time and the history it came by."""
        base = {"fingerprint": self.base.fingerprint, "files": self.base.files}
        tasks = self.tasks.state if self.tasks is not None else None
        return sha256(canonical({"format": self.format, "base": base, "tasks": tasks, "router": self.router}))
