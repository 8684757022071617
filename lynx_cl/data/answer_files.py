"""Answers that benchmarks keep in a file beside the questions, by the question's number or the picture's name.

Read are: TextVQA's `data`, VQA v2's `annotations`, COCO's captions, and ScienceQA's `problems.json`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lynx_cl.data.json_walk import Record, walk
from lynx_cl.errors import LynxError

LETTERS = "ABCDEFGHIJ"  # of ScienceQA's choices


def read_answers(file: Path) -> dict[str, tuple[str, ...]]:
    """The accepted answers of a file, by question number, and by picture name (without its suffix too) for captions.

    Raises LynxError naming file and line for a record of none of these forms, and a file without any.
    """
    answers: dict[str, list[str]] = defaultdict(list)
    pictures: dict[str, str] = {}
    captions: dict[str, list[str]] = defaultdict(list)
    for record in walk(file, named=_by_number(file)):
        try:
            if record.section == "images":
                pictures[str(record.value["id"])] = Path(str(record.value["file_name"])).name
            elif record.section == "annotations" and "caption" in record.value:
                captions[str(record.value["image_id"])].append(str(record.value["caption"]).strip())
            elif record.section in ("annotations", "data", ""):
                for number, given in _given(record).items():
                    answers[number] += given
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise LynxError(f"{file}, {record.place}: not an answer of a form that is read ({error!r})") from None
    for number, own in captions.items():
        name = pictures.get(number, number)
        answers[name] += own
        answers[Path(name).stem] += own if Path(name).stem != name else []
    if not answers:
        raise LynxError(f"{file}: holds no answers of a form that is read; see docs/data.md")
    return {key: tuple(own) for key, own in answers.items()}


def _by_number(file: Path) -> bool:
    """Whether a file is a map of problems by number, as ScienceQA has it."""
    first = next(walk(file, named=True), None)
    return first is not None and first.key.isdecimal()


def _given(record: Record) -> Mapping[str, list[str]]:
    value: Any = record.value
    if record.key and "choices" in value:
        return {record.key: [LETTERS[int(value["answer"])]]}
    if not isinstance(value, dict) or "question_id" not in value:
        return {}
    given = value.get("answers", value.get("answer"))
    if not isinstance(given, list):
        given = [given]
    return {str(value["question_id"]): [str(one["answer"] if isinstance(one, dict) else one) for one in given]}
