"""GQA as it is evaluated: questions with their types, what follows from them, and which answers would be sensible.

Hudson and Manning 2019; https://cs.stanford.edu/people/dorarad/gqa/evaluate.html.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lynx_cl.data.asked_sets import AskedSet, GqaFacts, Question, asked_set, asking, part_of, said
from lynx_cl.data.json_walk import walk
from lynx_cl.data.specs import Spec
from lynx_cl.data.vqa import needed
from lynx_cl.errors import LynxError

_USUAL = ("testdev_balanced_questions.json", "val_balanced_questions.json")
_TYPES = ("structural", "semantic")
_COMMON = frozenset({"color", "material", "shape"})  # what fits a question about what two things have in common


def gqa_set(spec: Spec, most: int) -> list[AskedSet]:
    """The first questions of the file that the option `questions` names, else of testdev_balanced or val_balanced.

    Raises UsageError where there is none, LynxError as `asked_set` and for choices that lack a question.
    """
    images, asks = spec.folder("images", spec.home / "images"), asking(spec)
    usual = next((spec.home / name for name in _USUAL if (spec.home / name).is_file()), spec.home / _USUAL[0])
    file, choices = spec.file("questions") or needed(spec, usual), spec.file("choices")
    common: set[str] = set()

    def read(value: Any, key: str) -> Question:
        types = value.get("types") or {}
        facets = {name: str(types[name]) for name in _TYPES if types.get(name)}
        if "structural" in facets:
            facets["answer"] = "open" if facets["structural"] == "query" else "binary"
        if "Common" in str(types.get("detailed") or ""):
            common.add(key)
        image = f"{value['imageId']}.jpg"
        facts = GqaFacts(
            tuple(str(one) for one in value.get("entailed") or () if str(one) != key),
            bool(value.get("isBalanced", True)),
            str((value.get("groups") or {}).get("global") or ""),
        )
        turn = (asks(said(value, "question")), said(value, "answer"))
        return Question(image, str(images / image), (turn,), number=key, facets=facets, gqa=facts)

    split = file.name.removesuffix(".json").removesuffix("_questions")
    made = asked_set(spec, split, "gqa", part_of(file, read, None), most)
    return [made if choices is None else _with_choices(made, choices, common)]


def _with_choices(made: AskedSet, choices: Path, common: set[str]) -> AskedSet:
    """The questions with the answers that would be sensible. The file is large: only what is asked for is kept."""
    asked = {question.number for question in made.questions}
    found: dict[str, tuple[frozenset[str], frozenset[str]]] = {}
    for record in walk(choices, named=True):
        if record.key in asked:
            found[record.key] = (_answers(record.value, "valid", choices), _answers(record.value, "plausible", choices))
    lacking = sorted(asked - set(found))
    if lacking:
        raise LynxError(f"{choices}: holds no choices of question '{lacking[0]}'; give those of {made.name}")
    questions = []
    for question in made.questions:
        valid, plausible = (_COMMON, _COMMON) if question.number in common else found[question.number]
        assert question.gqa is not None
        questions.append(replace(question, gqa=replace(question.gqa, valid=valid, plausible=plausible)))
    return replace(made, questions=questions)


def _answers(value: Any, name: str, file: Path) -> frozenset[str]:
    given = value.get(name) if isinstance(value, Mapping) else None
    if not isinstance(given, list):
        raise LynxError(f"{file}: a question has no list '{name}'; fetch the file again")
    return frozenset(sys.intern(str(one)) for one in given)
