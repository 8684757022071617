"""Scores across annotators: tasks, and earlier versions of them, on other sources' test splits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lynx_cl.continual.learned import Learned
from lynx_cl.continual.measure import main_scores, measure
from lynx_cl.continual.outside import read_bank
from lynx_cl.continual.plan import labels_of
from lynx_cl.continual.scores import task_test
from lynx_cl.data.annotators import Labels
from lynx_cl.data.readers import absolute
from lynx_cl.data.sources import DataSource, open_source
from lynx_cl.errors import UsageError
from lynx_cl.registry.store import Registry
from lynx_cl.tasks import TaskCard

if TYPE_CHECKING:
    from lynx_cl.base.load import Base
    from lynx_cl.registry.views import TaskVersion
    from lynx_cl.router.router import Router


class Across:
    """`scores`, by whose labels a task learned from, whose it is tested on, and task: its main score, task-blind."""

    def __init__(self) -> None:
        self.scores: dict[str, dict[str, dict[str, float]]] = {}

    @property
    def names(self) -> set[str]:
        """Whose labels were learned from or tested on."""
        return {*self.scores, *(name for cells in self.scores.values() for name in cells)}

    def put(self, labels: Labels, source: str, score: float) -> None:
        """Takes in a score; of two on labels of one annotator, the second is named with its source."""
        trained, tested = (" + ".join(names) or "unknown" for names in (labels.trained, labels.tested))
        cells = self.scores.setdefault(trained, {})
        if labels.task in cells.get(tested, {}):
            tested = f"{tested} ({source})"
        cells.setdefault(tested, {})[labels.task] = score


@dataclass(frozen=True)
class Asked:
    """A task, or a version of one by its address, and the source on whose test split it is to be scored."""

    address: str
    version: TaskVersion
    spec: str

    def open(self, base: Base) -> DataSource:
        """Its source, asked as the version was. Raises as `open_source`."""
        data: Any = self.version.manifest.data
        card = TaskCard(**self.version.manifest.card)
        return open_source(self.spec, card, seed=data.get("seed", 0), limit=None, base_grammar=base.card.grammar)

    def labels(self, source: DataSource) -> Labels:
        """Whose labels the version learned from, and whose the source's are; the task under its address."""
        return replace(labels_of(self.version), task=self.address, tested=source.labels.tested)


def read_test(registry: Registry, text: str) -> Asked:
    """What 'TASK=SOURCE' or 'TASK@VERSION=SOURCE' stands for. Raises UsageError for another text, or one unknown."""
    address, equals, spec = text.partition("=")
    if not (address and equals and spec):
        raise UsageError(
            f"--test {text}: give it as TASK=SOURCE, as in grounding=coco:FOLDER or grounding@1=coco:FOLDER"
        )
    if (name := address.partition("@")[0]) not in registry.tasks():
        raise UsageError(f"--test {text}: no task '{name}'; known: {', '.join(registry.tasks()) or 'none'}")
    return Asked(address, registry.task(address), absolute(spec))


def score_across(
    registry: Registry, base: Base, known: Learned, router: Router, asked: Asked, source: DataSource, examples: int
) -> float:
    """The main score on a source's test split: task-blind, or of a version that no request is sent to, task given.

    Raises LynxError for a bank that does not fit the base.
    """
    card = TaskCard(**asked.version.manifest.card)
    test = task_test(card, source, card.box_grammar(base.card.grammar), examples)
    if asked.version.current:
        with known.attached(base) as attachment:
            scored = measure(base, attachment, router, [test], several=router.config.several)
    else:
        task = asked.version.task
        alone = Learned({task: asked.version}, {task: read_bank(registry, asked.version, base)})
        with alone.attached(base) as attachment:
            scored = measure(base, attachment, None, [test])
    return main_scores(scored)[asked.version.task]
