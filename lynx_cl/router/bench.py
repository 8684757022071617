"""Judging a router on labelled prompts: its choice, confidence and sets, what it tells as unknown; and its peers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from lynx_cl.base.settings import Settings
from lynx_cl.errors import UsageError
from lynx_cl.router.baselines import BASELINES, Fitted
from lynx_cl.router.calibration import expected_calibration_error
from lynx_cl.router.embedders import Embedder, Request
from lynx_cl.router.router import Decision, Router, RouterConfig
from lynx_cl.router.statistics import summed

Rows = NDArray[np.float32]
TIMED = 200  # decisions, of which the median is told


class LabelledPrompt(Settings):
    """One line of a file for `route --bench`: a prompt, its task (None: of none) and what it is used for."""

    text: str = Field(min_length=1)
    task: str | None
    split: Literal["train", "calibration", "test"]


@dataclass(frozen=True)
class Labelled:
    """Embedded prompts: texts, vectors (n, dimension), and each one's task (None: out of domain)."""

    texts: tuple[str, ...]
    rows: Rows
    tasks: tuple[str | None, ...]

    def of(self, task: str | None) -> Labelled:
        """Those of one task."""
        places = [i for i, owner in enumerate(self.tasks) if owner == task]
        return Labelled(tuple(self.texts[i] for i in places), self.rows[places], (task,) * len(places))

    def known(self) -> Labelled:
        """Those of any task."""
        places = [i for i, owner in enumerate(self.tasks) if owner is not None]
        return Labelled(tuple(self.texts[i] for i in places), self.rows[places], tuple(self.tasks[i] for i in places))


def read_prompts(path: Path) -> list[LabelledPrompt]:
    """The records of a JSON-lines file. Raises UsageError naming file and line for one that is wrong, and where tasks
    cannot be told apart from it: fewer than two tasks to train on, or none of them tested."""
    records = []
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from None
    for number, line in enumerate(lines, 1):
        where = f"{path}, line {number}"
        if not line.strip():
            continue
        try:
            record = LabelledPrompt.model_validate_json(line)
            Request(record.text)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"])) or "the line"
            raise UsageError(f"{where}: {key}: {first['msg']}; a line is a JSON object of text, task, split") from None
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from None
        records.append(record)
    trained = {record.task for record in records if record.split == "train" and record.task is not None}
    if len(trained) < 2:
        raise UsageError(f"{path}: holds prompts of split 'train' for {len(trained)} tasks; give two or more")
    for record in records:
        if record.task is not None and record.task not in trained:
            raise UsageError(f"{path}: task {record.task!r} has prompts to test but none of split 'train'; give some")
    if not any(record.split == "test" and record.task is not None for record in records):
        raise UsageError(f"{path}: holds no prompt of split 'test' with a task; give some")
    return records


def embed(records: Sequence[LabelledPrompt], embedder: Embedder) -> dict[str, Labelled]:
    """The records of each split, embedded. Out-of-domain prompts of split train are of no use and are left out."""
    made = {}
    for split in ("train", "calibration", "test"):
        own = [r for r in records if r.split == split and (split == "test" or r.task is not None)]
        texts = tuple(record.text for record in own)
        rows = embedder.embed([Request(text) for text in texts]) if texts else np.zeros((0, embedder.dimension))
        made[split] = Labelled(texts, np.asarray(rows, np.float32), tuple(record.task for record in own))
    return made


def fit(splits: dict[str, Labelled], embedder: Embedder, config: RouterConfig) -> Router:
    """The router over the tasks of split `train`, calibrated on split `calibration`."""
    tasks = []
    for name in sorted({task for task in splits["train"].tasks if task is not None}):
        own, aside = splits["train"].of(name), splits["calibration"].of(name)
        tasks.append(summed(name, own.texts, own.rows, embedder, aside.texts, aside.rows))
    return Router.solve(tasks, embedder, config)


def judge(router: Router, splits: dict[str, Labelled], baselines: Sequence[str], timed: bool = True) -> dict[str, Any]:
    """What `route --bench` prints of a router that was fitted to `splits`.

    Shares are fractions, and a figure that the prompts do not allow is None.

    - `balanced_accuracy`, `macro_f1`: of the classifier's choice among the tasks, as that of the baselines, whether or
      not the router would abstain; `ece` of its probabilities.
    - `coverage`, `set_size`: how often the set of candidates holds the right task, and its mean size; `promised` is
      the greatest share of misses that the calibration prompts allow to be promised.
    - `abstained`: of prompts that belong to a task; `foreign_abstained`: of those that belong to none.
    - `ood_auroc`, `ood_fpr95`: prompts of a task told from prompts of none by their distance to what is known; the
      latter is the share of prompts of none that pass where 95 % of the others do.
    - `microseconds`: of one decision about a vector, and `embedding_microseconds` of making one: medians; only where
      `timed`.
    """
    known = splits["test"].known()
    foreign = splits["test"].of(None)
    decisions = router.decide_rows(known.rows)
    outside = router.decide_rows(foreign.rows)
    names = [task.task for task in router.tasks]
    truth = np.array([names.index(task) for task in known.tasks if task is not None])
    table = np.array([[decision.probabilities[name] for name in names] for decision in decisions])
    chosen = table.argmax(1)
    return {
        **accuracy(truth, chosen, len(names)),
        "ece": expected_calibration_error(table, truth),
        "coverage": _share([name in d.candidates for name, d in zip(known.tasks, decisions, strict=True)]),
        "set_size": float(np.mean([len(decision.candidates) for decision in decisions])),
        "promised": router.promise.error,
        "abstained": _share([decision.abstained for decision in decisions]),
        "foreign_abstained": _share([decision.abstained for decision in outside]) if outside else None,
        **outliers(decisions, outside),
        **(_times(router, known) if timed else {}),
        "tasks": len(names),
        "shrinkage": router.shrinkage,
        "temperature": router.temperature,
        "baselines": {
            name: _baseline(BASELINES[name], splits["train"], known, names, truth, timed) for name in baselines
        },
    }


def accuracy(truth: NDArray[np.int64], chosen: NDArray[np.int64], count: int) -> dict[str, float]:
    """Balanced accuracy (the mean over tasks of the share of their prompts that are right) and macro-F1, over the tasks
    that were tested."""
    import torch
    from torchmetrics.functional.classification import multiclass_f1_score, multiclass_recall

    found, true = torch.tensor(chosen), torch.tensor(truth)
    tested = torch.tensor(np.unique(truth))
    recall = multiclass_recall(found, true, count, average="none")[tested]
    f1 = multiclass_f1_score(found, true, count, average="none")[tested]
    return {"balanced_accuracy": float(recall.mean()), "macro_f1": float(f1.mean())}


def outliers(inside: Sequence[Decision], outside: Sequence[Decision]) -> dict[str, float | None]:
    """AUROC of prompts of a task against prompts of none, and the share of the latter that pass at a true-positive rate
    of 95 %."""
    if not outside or not inside:
        return {"ood_auroc": None, "ood_fpr95": None}
    import torch
    from torchmetrics.functional.classification import binary_auroc

    near, far = (np.array([1 / (1 + (d.distance or 0)) for d in part]) for part in (inside, outside))
    scores = torch.tensor(np.concatenate([near, far]))
    labels = torch.tensor([1] * len(near) + [0] * len(far))
    passed = np.sort(near)[int(np.floor(0.05 * len(near)))]
    return {"ood_auroc": float(binary_auroc(scores, labels)), "ood_fpr95": float((far >= passed).mean())}


def _baseline(
    fit_one: Callable[[Rows, NDArray[np.int64]], Fitted],
    train: Labelled,
    test: Labelled,
    names: list[str],
    truth: NDArray[np.int64],
    timed: bool,
) -> dict[str, float]:
    owners = np.array([names.index(task) for task in train.tasks if task is not None])
    predict = fit_one(train.rows, owners)
    times = {"microseconds": _median(lambda i: predict(test.rows[i : i + 1]), len(test.rows))} if timed else {}
    return {**accuracy(truth, predict(test.rows), len(names)), **times}


def _times(router: Router, known: Labelled) -> dict[str, float]:
    embedder = router.embedder
    return {
        "microseconds": _median(lambda i: router.decide_rows(known.rows[i : i + 1]), len(known.rows)),
        "embedding_microseconds": _median(lambda i: embedder.embed([Request(known.texts[i])]), len(known.texts)),
    }


def _share(values: Sequence[bool]) -> float:
    return sum(values) / len(values)


def _median(call: Callable[[int], object], count: int) -> float:
    times = []
    for i in range(min(TIMED, count)):
        start = time.perf_counter()
        call(i)
        times.append(time.perf_counter() - start)
    return round(1e6 * float(np.median(times)), 1)
