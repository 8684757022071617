"""How the suites of `lynx-cl evaluate` are asked for and told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lynx_cl.cli.output import print_facts, print_json, print_table
from lynx_cl.errors import UsageError

PROTOCOLS = (1, 2, 3)  # those of evaluation.localisation, whose module takes long to import
_SCORES = ("map50", "map", "f1", "miou_few", "parse_failure")
_TOLD = ("protocols", "splits", "remarks")


def read_protocols(text: str) -> tuple[int, ...]:
    """The protocols that a command line names, in order.

    >>> read_protocols("3,1")
    (1, 3)
    """
    named = {part.strip() for part in text.split(",")}
    if not named <= {str(number) for number in PROTOCOLS}:
        raise UsageError(f"--protocols {text}: give some of 1, 2 and 3, with commas between them")
    return tuple(sorted(map(int, named)))


def tell(facts: Mapping[str, Any], as_json: bool) -> None:
    """Prints the facts of a suite."""
    if as_json:
        print_json(facts)
        return
    print_facts({name.replace("_", " "): value for name, value in facts.items() if name not in _TOLD})
    for remark in facts.get("remarks", ()):
        print(remark)
    if "protocols" in facts:
        print_table(
            ("protocol", "questions", *_SCORES, "answered by"),
            [
                (name, scores["questions"], *(scores[one] for one in _SCORES), scores["answered_by"])
                for name, scores in facts["protocols"].items()
            ],
        )
        return
    first = "recall_1" if facts["suite"] == "phrase" else "acc_iou50"
    print_table(
        ("split", "expressions", first, "mean_iou", "parse_failure", "answered by"),
        [
            (name, *(scores[one] for one in ("expressions", first, "mean_iou", "parse_failure", "answered_by")))
            for name, scores in facts["splits"].items()
        ],
    )
    levels = list(next(iter(facts["splits"].values()))["curve"])
    print_table(
        ("accuracy at IoU", *levels),
        [(name, *scores["curve"].values()) for name, scores in facts["splits"].items()],
    )
