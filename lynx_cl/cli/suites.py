"""How the suites of `lynx-cl evaluate` are asked for and told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lynx_cl.cli.output import print_facts, print_json, print_table
from lynx_cl.errors import UsageError

PROTOCOLS = (1, 2, 3)  # those of evaluation.localisation, whose module takes long to import
_SCORES = ("map50", "map", "f1", "miou_few", "parse_failure")
_TOLD = ("protocols", "splits", "remarks")
_USUAL = ("accuracy", "strict", "normalised")
_KINDS = 20  # of a facet with more kinds, as VQA v2's question types, only --json tells them


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


def tell_understanding(facts: Mapping[str, Any], as_json: bool) -> None:
    """Prints the facts of the suite understanding: each set before and after, then by kind of question."""
    if as_json:
        print_json(facts)
        return
    sets, after = facts["sets"], facts["after"]
    parts = [part for part in ("before", "after", "given") if any(part in one for one in sets.values())]
    given = {name: one["given_to"] for name, one in sets.items() if "given_to" in one}
    told = {"suite": facts["suite"], "before": facts["before"], "after": after}
    print_facts({**told, **({"given": given} if given else {})})
    for name, one in sets.items():
        for remark in one["remarks"]:
            print(f"{name}: {remark}")
    more = ("difference", "worse", "better") if after is not None else ()
    last = ("answered_by",) if after is not None else ()
    forms = [(form, part) for form in ("strict", "normalised") for part in parts]
    columns = (*_both("accuracy", parts), *more, *(name for form in _USUAL[1:] for name in _both(form, parts)))
    print_table(
        ("set", "questions", *columns, *(name.replace("_", " ") for name in last)),
        [
            (
                name,
                one["questions"],
                *(_score(one, part, "accuracy") for part in parts),
                *(one[column] for column in more),
                *(_score(one, part, form) for form, part in forms),
                *(one[column] for column in last),
            )
            for name, one in sets.items()
        ],
    )
    _tell_more(sets, parts)
    rows = [
        (name, facet, kind, own["questions"], *(own.get(part) for part in parts))
        for name, one in sets.items()
        for facet, kinds in one["by"].items()
        if len(kinds) <= _KINDS
        for kind, own in kinds.items()
    ]
    if rows:
        print_table(("set", "by", "kind", "questions", *_both("accuracy", parts)), rows)


def _tell_more(sets: Mapping[str, Any], parts: Sequence[str]) -> None:
    """What only some sets have, a row each: F1 and the like of POPE, GQA's consistency, what could not be read."""
    rows = [
        (name, score, *(_score(one, part, score) for part in parts))
        for name, one in sets.items()
        for score in dict.fromkeys(score for part in parts for score in one.get(part, ()))
        if score not in _USUAL and (score != "unread" or any(_score(one, part, score) for part in parts))
    ]
    if rows:
        print_table(("set", "score", *parts), rows)


def _score(one: Mapping[str, Any], part: str, score: str) -> Any:
    return one.get(part, {}).get(score)


def _both(name: str, parts: Sequence[str]) -> list[str]:
    return [f"{name}, {part}" for part in parts] if len(parts) > 1 else [name]
