"""Who made the labels: ground truth, or a model, whose mistakes a bank that learned from it shares.

Scores on labels of the annotator that a bank learned from reward its habits along with what is true; where those labels
are ground truth (drawn or given boxes, people's own words) there is nothing to reward but the truth.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, overload

from lynx_cl.errors import LynxError

if TYPE_CHECKING:
    from lynx_cl.data.example import Example

ORACLE = "oracle"  # of drawn scenes

#: Annotators whose labels are ground truth: exact by construction, or as a data set was published or given. Any other
#: name is a model's.
GROUND_TRUTH = frozenset(
    {
        ORACLE,
        "people",
        "coco json",
        "flickr30k entities",
        "gqa",
        "llava json",
        "refcoco",
        "table",
        "text json",
        "textvqa",
        "visual genome",
        "vizwiz",
        "voc xml",
        "vqa v2",
    }
)
#: Options that every source of files has.
OPTIONS = {
    "annotator": "the model that made its labels, by a name of yours, where they are no ground truth",
    "test_annotator": "who made those of its test split, where it was another; 'people' for people",
}


@dataclass(frozen=True)
class Labels:
    """Whose labels a task's bank was trained on, all of them, and whose it is tested on: of labels that another
    confirmed, both, since what it does not see is not asked."""

    task: str
    trained: tuple[str, ...]
    tested: tuple[str, ...]

    @property
    def shared(self) -> tuple[str, ...]:
        """The models that had a part in what it learned from and in what it is tested on.

        >>> Labels("a", ("owlv2",), ("dino", "owlv2")).shared, Labels("a", ("oracle",), ("oracle",)).shared
        (('owlv2',), ())
        """
        return tuple(name for name in self.tested if name in self.trained and name not in GROUND_TRUTH)


def labels_told(task: str, told: Mapping[str, Any]) -> Labels:
    """The labels of a task by the facts of its data (`DataSource.summary`, or a manifest's `data`); unknown where those
    do not say.

    >>> labels_told("a", {"annotator": "owlv2", "confirmed_by": ["dino"], "test_annotator": "people"})
    Labels(task='a', trained=('owlv2', 'dino'), tested=('people',))
    """
    if "annotator" not in told:
        return Labels(task, (), ())
    made = (told["annotator"], *told.get("confirmed_by", ()))
    return Labels(
        task,
        tuple(told.get("annotators", made)),
        (told["test_annotator"],) if "test_annotator" in told else made,
    )


def check_shared(labels: Iterable[Labels], allowed: bool) -> None:
    """Raises LynxError naming each task that is to be scored on labels of a model that it learned from."""
    shared = [one for one in labels if one.shared]
    if allowed or not shared:
        return
    told = ", ".join(f"'{one.task}' ({', '.join(one.shared)})" for one in shared)
    raise LynxError(
        f"task {told}: its test labels were made or confirmed by the model that made or confirmed its training labels, "
        "so a score would reward that model's mistakes; test on other labels (option test_annotator), or give "
        "--allow-shared-annotator"
    )


class Relabelled(Sequence[tuple["Example", ...]]):
    """Groups of examples whose provenance names another annotator; made as lazily as those given."""

    def __init__(self, groups: Sequence[tuple[Example, ...]], annotator: str) -> None:
        self._groups, self._annotator = groups, annotator

    def __len__(self) -> int:
        return len(self._groups)

    @overload
    def __getitem__(self, index: int) -> tuple[Example, ...]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[tuple[Example, ...]]: ...
    def __getitem__(self, index: int | slice) -> tuple[Example, ...] | Sequence[tuple[Example, ...]]:
        if isinstance(index, slice):
            return Relabelled(self._groups[index], self._annotator)
        return self._named(self._groups[index])

    def __iter__(self) -> Iterator[tuple[Example, ...]]:
        return map(self._named, self._groups)

    def _named(self, group: tuple[Example, ...]) -> tuple[Example, ...]:
        return tuple(
            replace(example, provenance=replace(example.provenance, annotator=self._annotator)) for example in group
        )
