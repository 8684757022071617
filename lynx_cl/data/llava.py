"""Reads LLaVA-style instruction files: a JSON array, or JSON lines, of conversations about pictures.

    {"id": ..., "image": "a/b.jpg", "conversations": [{"from": "human", "value": "<image>\\nWhat is it?"},
                                                      {"from": "gpt", "value": "A dog."}, ...]}

and, as the files that models are tested on have it: {"question_id": ..., "image": ..., "text": ..., "answer": ...}. The
answer may be a list of all that are accepted, `answer_bbox`, or stand in a file of its own (see `answer_files.py`).
Liu et al. 2023, Visual Instruction Tuning; https://github.com/haotian-liu/LLaVA, docs/Finetune_Custom_Data.md.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lynx_cl.data.answer_files import read_answers
from lynx_cl.data.instruct import record_source
from lynx_cl.data.json_walk import Record
from lynx_cl.data.pictures import licence_of
from lynx_cl.data.records import LEARN, ONLY, WHOLE, Broken, Part, Records, Talk
from lynx_cl.data.sources import DataSource, Wanted

ANNOTATOR = "llava json"
ASKS, ANSWERS = ("human", "user"), ("gpt", "assistant")
_TOKEN = "<image>"


def llava_source(file: Path, wanted: Wanted) -> DataSource:
    """The conversations of a file, split by the names of their pictures where no other files are named for the splits.

    Options: `images`, the folder that its pictures' paths begin at (its own folder if not given); `test` and
    `calibration`, files of the same form for those splits; `test_images`, the folder of the pictures of `test` where it
    is another; `answers`, a file with the answers to `test`; `max_broken`.
    """
    spec = wanted.spec
    images = spec.folder("images", file.parent)
    answers = spec.file("answers")
    read = reader(images)
    elsewhere = spec.folder("test_images", images)
    prefix = "" if elsewhere == images else f"{elsewhere.name}/"  # the same name may be another picture there
    tested = reader(elsewhere, read_answers(answers) if answers is not None else None, prefix)
    test, calibration = spec.file("test"), spec.file("calibration")
    learn = WHOLE if test is None else LEARN
    if calibration is not None:
        learn = {split: "train" if part == "calibration" else part for split, part in learn.items()}
    parts = [Part(file, read, learn)]
    parts += [Part(path, read, ONLY["calibration"]) for path in (calibration,) if path is not None]
    parts += [Part(path, tested, ONLY["test"]) for path in (test,) if path is not None]
    records = Records(spec.text, tuple(parts), spec.max_broken(), wanted.limit)
    return record_source(
        records,
        wanted,
        annotator=ANNOTATOR,
        licence=licence_of(file.parent),
        folder=file.parent,
        files=[answers] if answers is not None else [],
    )


def reader(
    images: Path, answers: Mapping[str, tuple[str, ...]] | None = None, prefix: str = ""
) -> Callable[[Record], Talk | None]:
    """What makes a Talk of a record whose pictures lie in `images`; None for a record without a picture. `prefix`
    stands before the pictures' keys.

    With `answers`, those of a question's number or a picture's name are its references, and the first that most people
    gave its answer where the record has none.
    """

    place = str(images)  # paths as text: a Path takes longer to make than the rest of a record

    def read(record: Record) -> Talk | None:
        value = record.value
        if not isinstance(value, dict):
            raise Broken("a record is an object with 'image' and 'conversations'")
        name = value.get("image")
        if isinstance(name, list) and len(name) == 1:
            name = name[0]
        if isinstance(name, list):
            raise Broken(f"names {len(name)} pictures; one is supported")
        if name is None:
            return None
        if not isinstance(name, str) or not name.strip():
            raise Broken(f"image is {name!r}, not the path of a picture")
        given = _references(value, name, answers)
        kind = value.get("answer_type", "")
        turns = _turns(value, given)
        return Talk(
            prefix + name.removeprefix("./"),
            os.path.join(place, name),
            turns,
            given,
            kind if isinstance(kind, str) else "",
        )

    return read


def _references(value: dict[str, Any], name: str, answers: Mapping[str, tuple[str, ...]] | None) -> tuple[str, ...]:
    """All accepted answers, where there are more than one."""
    if answers is not None:
        base = os.path.basename(name)
        for key in (str(value.get("question_id", "")), base, os.path.splitext(base)[0]):
            if key in answers:
                return answers[key]
        raise Broken(f"question {value.get('question_id', '')!r} about {name} has no answer in the file of answers")
    given = value.get("answer")
    return tuple(str(one) for one in given) if isinstance(given, list) else ()


def _turns(value: dict[str, Any], given: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    told = value.get("conversations")
    if told is None:
        question, answer = value.get("text", value.get("question")), value.get("answer", value.get("answer_bbox"))
        if given:
            answer = Counter(given).most_common(1)[0][0]
        if not isinstance(question, str) or answer is None or isinstance(answer, list):
            raise Broken("has neither 'conversations' nor 'text' and 'answer'")
        told = [{"from": "human", "value": question}, {"from": "gpt", "value": str(answer)}]
    if not isinstance(told, list):
        raise Broken("conversations is no list")
    turns = [turn for turn in told if not (isinstance(turn, dict) and turn.get("from") == "system")]
    if not turns or len(turns) % 2:
        raise Broken(f"conversations holds {len(turns)} turns; each question needs its answer")
    words = [_said(turn, ANSWERS if number % 2 else ASKS, number) for number, turn in enumerate(turns)]
    return tuple(zip(words[::2], words[1::2], strict=True))


def _said(turn: Any, who: tuple[str, ...], number: int) -> str:
    if not isinstance(turn, dict) or not isinstance(turn.get("value"), str):
        raise Broken(f"turn {number + 1} has no text in 'value'")
    if turn.get("from") not in who:
        raise Broken(f"turn {number + 1} is from {turn.get('from')!r}, not {' or '.join(who)}")
    text = turn["value"].replace(_TOKEN, "").strip()
    if not text:
        raise Broken(f"turn {number + 1} says nothing")
    return text
