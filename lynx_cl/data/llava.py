"""Reads LLaVA-style instruction files: a JSON array, or JSON lines, of conversations about pictures.

    {"id": ..., "image": "a/b.jpg", "conversations": [{"from": "human", "value": "<image>\\nWhat is it?"},
                                                      {"from": "gpt", "value": "A dog."}, ...]}

and, as the files that models are tested on have it: {"question_id": ..., "image": ..., "text": ..., "answer": ...}.
Liu et al. 2023, Visual Instruction Tuning; https://github.com/haotian-liu/LLaVA, docs/Finetune_Custom_Data.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
    `calibration`, files of the same form for those splits; `max_broken`.
    """
    spec = wanted.spec
    images = spec.folder("images", file.parent)
    read = reader(images)
    test, calibration = spec.file("test"), spec.file("calibration")
    learn = WHOLE if test is None else LEARN
    if calibration is not None:
        learn = {split: "train" if part == "calibration" else part for split, part in learn.items()}
    parts = [Part(file, read, learn)]
    parts += [Part(path, read, ONLY["calibration"]) for path in (calibration,) if path is not None]
    parts += [Part(path, read, ONLY["test"]) for path in (test,) if path is not None]
    records = Records(spec.text, tuple(parts), spec.max_broken(), wanted.limit)
    return record_source(records, wanted, annotator=ANNOTATOR, licence=licence_of(file.parent), folder=file.parent)


def reader(images: Path) -> Callable[[Record], Talk | None]:
    """What makes a Talk of a record whose pictures lie in `images`; None for a record without a picture."""

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
        return Talk(name.removeprefix("./"), os.path.join(place, name), _turns(value))

    return read


def _turns(value: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    told = value.get("conversations")
    if told is None:
        question, answer = value.get("text", value.get("question")), value.get("answer")
        if not isinstance(question, str) or answer is None:
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
