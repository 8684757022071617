"""The results of a study on disk: one folder a study, one a cell, one file a stage, each written whole or not at all.

```
studies/NAME/study.json               what the study is, and an identity of its own
studies/NAME/unlogged                 there while results wait for a tracking store
studies/NAME/base.json                row 0 of R: the base alone
studies/NAME/cells/LABEL/CELL/stage-2.json           what a stage did; once it is there, the stage is never run again
studies/NAME/cells/LABEL/CELL/state-2.safetensors    what the method had learned then; only the last one is kept
studies/NAME/cells/LABEL/CELL/failed.json            why the cell stopped
studies/NAME/cells/LABEL/CELL/log                    what it said, where it ran in a process of its own
studies/NAME/cells/LABEL/CELL/lock                   held by the one process that writes here
```
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lynx_cl.base.settings import Settings, read_settings
from lynx_cl.continual.study import Cell, Study, in_full, method_of, terms_of
from lynx_cl.errors import LynxError, UsageError
from lynx_cl.home import Home
from lynx_cl.registry.durable import write_whole

if TYPE_CHECKING:
    from torch import Tensor


_STAGE = re.compile(r"stage-(\d+)\.json")


class StageResult(Settings):
    """What was measured after a stage; stage 0 is the base alone.

    `blind` and `aware` are R's row, task-blind and with the task given; `strict` and `normalised` are the task-blind
    row with answers read strictly and normalised (`lynx_cl.evaluation.forms`). `metrics` holds every score of each task
    and `examples` the score of each of its test examples, both task-blind; `routed` counts requests by where the
    method's router sent them. `growth_total` and `growth_active` are fractions of the base, `size` is of the method's
    state in bytes, `memory` the greatest of the process so far in bytes, `answer` milliseconds. `curve` is the score of
    validation answers by optimiser step.
    """

    stage: int
    task: str | None
    blind: dict[str, float]
    aware: dict[str, float]
    strict: dict[str, float] = {}
    normalised: dict[str, float] = {}
    metrics: dict[str, dict[str, float]]
    examples: dict[str, list[float]]
    routed: dict[str, dict[str, int]] = {}
    growth_total: float = 0.0
    growth_active: float = 0.0
    size: int = 0
    memory: int = 0
    training: float = 0.0
    answer: float = 0.0
    curve: list[tuple[int, float]] = []


@dataclass(frozen=True)
class CellFolder:
    """Where one cell's results lie."""

    path: Path

    def stages(self) -> list[StageResult]:
        """The stages that are done, in their order. Raises LynxError for a damaged file."""
        return [_read(self.path / f"stage-{number}.json", self.path) for number in self.numbers()]

    def numbers(self) -> list[int]:
        """The numbers of the stages that are done, in their order."""
        found = (_STAGE.fullmatch(file.name) for file in self.path.glob("stage-*.json"))
        return sorted(int(match[1]) for match in found if match)

    @property
    def last(self) -> int:
        """The number of the last stage that is done, 0 where none is."""
        return max(self.numbers(), default=0)

    def check(self, at_once: bool, last: int) -> None:
        """Raises LynxError where a stage's file is missing that a later one must have been made after."""
        numbers = self.numbers()
        if numbers and numbers != ([last] if at_once else list(range(1, len(numbers) + 1))):
            raise LynxError(f"{self.path}: a stage's file is missing; remove this folder to run the cell anew")

    def holds(self, stage: int) -> bool:
        """Whether a stage is done, and the cell has not failed since."""
        return (self.path / f"stage-{stage}.json").exists() and self.failure is None

    def commit(self, result: StageResult, state: bytes) -> None:
        """Keeps a stage: first what the method has learned, then the result, and the stage before loses its state."""
        kept = self.path / f"state-{result.stage}.safetensors"
        write_whole(kept, state, scratch=self.path, what="study.state")
        self.keep(result)
        for old in self.path.glob("state-*.safetensors"):
            if old != kept:
                old.unlink()

    def keep(self, result: StageResult) -> None:
        """Keeps what was measured after a stage, without what the method had learned."""
        _write(self.path / f"stage-{result.stage}.json", result.model_dump(mode="json"), "study.stage")

    def state(self, stage: int) -> Mapping[str, Tensor]:
        """What the method had learned after a stage. Raises LynxError where that is missing or damaged."""
        import safetensors
        import safetensors.torch

        file = self.path / f"state-{stage}.safetensors"
        try:
            return safetensors.torch.load(file.read_bytes())
        except (OSError, safetensors.SafetensorError) as error:
            raise LynxError(f"{file}: missing or damaged ({error}); remove {self.path} to run the cell anew") from None

    @property
    def failure(self) -> str | None:
        """Why the cell stopped, None where it did not."""
        try:
            return str(json.loads((self.path / "failed.json").read_text())["error"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            return f"{self.path / 'failed.json'}: damaged"

    def fail(self, error: str) -> None:
        """Keeps why the cell stopped."""
        _write(self.path / "failed.json", {"error": error}, "study.failed")

    def start(self) -> None:
        """Makes the folder, and forgets an earlier failure: the cell is tried again."""
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "failed.json").unlink(missing_ok=True)


@dataclass(frozen=True)
class StudyFolder:
    """Where one study's results lie."""

    path: Path

    def cell(self, cell: Cell) -> CellFolder:
        """The folder of a cell."""
        return CellFolder(self.path / "cells" / cell.key)

    def study(self) -> Study:
        """The study as it was last run. Raises LynxError where that cannot be read."""
        return read_settings(Study, self._told()["study"], str(self.path / "study.json"))

    @property
    def identity(self) -> str:
        """What tells this study's runs from those of an earlier one of its name."""
        return str(self._told()["identity"])

    @property
    def made_of(self) -> dict[str, str]:
        """The digests of the base and of every task's data."""
        return dict(self._told()["made_of"])

    @property
    def unlogged(self) -> Path:
        """A file that is there while results wait for a tracking store that could not be reached."""
        return self.path / "unlogged"

    def exists(self) -> bool:
        """Whether a study was begun here."""
        return (self.path / "study.json").exists()

    def open(self, study: Study, made_of: Mapping[str, str]) -> None:
        """Begins a study, or goes on with it. `made_of` holds the digests of the base and of every task's data.

        What has results here stays part of it. Raises UsageError where the folder holds another study of that name
        (`check`).
        """
        identity = uuid.uuid4().hex
        study = study.model_copy(update={"methods": {k: in_full(k, own) for k, own in study.methods.items()}})
        if self.exists():
            self.check(study, made_of)
            identity = self.identity
            study = study.joined(self.begun())
        self.path.mkdir(parents=True, exist_ok=True)
        told = {"identity": identity, "study": study.model_dump(mode="json"), "made_of": dict(made_of)}
        _write(self.path / "study.json", told, "study.begin")

    def check(
        self,
        study: Study,
        made_of: Mapping[str, str],
        where: str = "",
        way: str = "give it another name with name=NAME, or remove the folder",
    ) -> None:
        """Raises UsageError, from `where` to the `way` out, where the folder holds another study of that name.

        That is one whose cells were run on another base, other tasks, data, questions or budget, or a method under the
        same label with other settings.
        """

        def refuse(key: str, then: Any, now: Any, way: str = way) -> None:
            raise UsageError(f"{where}{self.path}: holds results with {key} = {then}, this study has {now}; {way}")

        before = self.begun()
        if not (self.path / "base.json").exists() and not before.methods:
            return  # nothing was measured
        _compare(study.shared(), before.shared(), "", refuse)
        _compare(dict(made_of), self.made_of, "", refuse)
        for label in sorted(study.methods.keys() & before.methods.keys()):
            now, then = (_apart(label, s.methods[label]) for s in (study, before))
            anew = f"{way}; 'rm -r {self.path / 'cells' / label}' gives up what this label came to alone"
            _compare(now, then, f"methods.{label}", partial(refuse, way=anew))
        orders = dict(enumerate(before.orders, 1))
        for number, order in enumerate(study.sequences(), 1):
            if orders.get(number, order) != order:
                refuse(f"order {number}", orders[number], order)

    def begun(self) -> Study:
        """The study as it was last run, with those of its methods, orders and seeds alone that came to some result."""
        study = self.study()
        cells = [cell for cell in study.cells() if self.cell(cell).numbers()]
        numbers, labels, seeds = ({getattr(cell, key) for cell in cells} for key in ("number", "label", "seed"))
        return study.model_copy(
            update={
                "methods": {label: own for label, own in study.methods.items() if label in labels},
                "orders": study.sequences()[: max(numbers, default=0)],
                "seeds": tuple(seed for seed in study.seeds if seed in seeds),
            }
        )

    def alone(self) -> StageResult | None:
        """Row 0, None before it was measured."""
        path = self.path / "base.json"
        return _read(path, path) if path.exists() else None

    def keep_alone(self, result: StageResult) -> None:
        """Keeps row 0."""
        _write(self.path / "base.json", result.model_dump(mode="json"), "study.base")

    def _told(self) -> dict[str, Any]:
        path = self.path / "study.json"
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(told, dict) or not told.keys() >= {"identity", "study", "made_of"}:
                raise ValueError
            return told
        except FileNotFoundError:
            raise LynxError(f"{self.path}: no study was run here; 'lynx-cl experiment run' does it") from None
        except ValueError:
            raise LynxError(f"{path}: damaged; remove the folder and run the study anew") from None


def study_folder(home: Home, name: str) -> StudyFolder:
    """Where the results of a study lie."""
    return StudyFolder(home.path / "studies" / name)


def run_studies(home: Home) -> list[StudyFolder]:
    """Every study that was run in this home, by name."""
    return [StudyFolder(path.parent) for path in sorted((home.path / "studies").glob("*/study.json"))]


def _read(path: Path, part: Path) -> StageResult:
    try:
        return StageResult.model_validate_json(path.read_bytes())
    except ValueError:
        raise LynxError(f"{path}: damaged; remove {part} to run that part anew") from None


def _write(path: Path, value: Any, what: str) -> None:
    write_whole(path, (json.dumps(value, indent=1) + "\n").encode(), scratch=path.parent, what=what)


def _apart(label: str, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of a label that results hang on: its method by name, what it learns, and those of the method."""
    name, own = method_of(label, settings)
    return {"method": name, "learns": terms_of(label, settings).model_dump(mode="json"), **own}


def _compare(now: Any, then: Any, key: str, refuse: Callable[[str, Any, Any], None]) -> None:
    if isinstance(now, dict) and isinstance(then, dict) and now.keys() == then.keys():
        for name in now:
            _compare(now[name], then[name], f"{key}.{name}" if key else name, refuse)
    elif now != then:
        refuse(key, then, now)
