"""Reads visual question answering as published: VQA v2, GQA, TextVQA and VizWiz folders.

Each file of questions is gone through record by record; nothing but places is kept. Where people's answers differ, the
most frequent one is learned, and all are references to score by.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from lynx_cl.data.instruct import record_source
from lynx_cl.data.json_walk import Record, read_at, walk
from lynx_cl.data.pictures import licence_of
from lynx_cl.data.records import LEARN, ONLY, Broken, Part, Records, Talk
from lynx_cl.data.sources import DataSource, Wanted
from lynx_cl.data.specs import Spec
from lynx_cl.errors import LynxError, UsageError

Read = Callable[[Record], Talk | None]
T = TypeVar("T")


def vqav2_source(folder: Path, wanted: Wanted) -> DataSource:
    """VQA v2: v2_OpenEnded_mscoco_{train,val}2014_questions.json, v2_mscoco_{train,val}2014_annotations.json, and the
    train2014 and val2014 of COCO. Learned from train, tested on val. Goyal et al. 2017;
    https://visualqa.org/download.html."""
    images = wanted.spec.folder("images", folder)
    parts, files = [], []
    for part, splits in (("train2014", LEARN), ("val2014", ONLY["test"])):
        questions = needed(wanted.spec, folder / f"v2_OpenEnded_mscoco_{part}_questions.json")
        answers = Answers(needed(wanted.spec, folder / f"v2_mscoco_{part}_annotations.json"))
        files.append(answers.file)
        parts.append(Part(questions, _vqav2(answers, images / part, part), splits, "questions", apart=True))
    return _source(wanted, folder, parts, "vqa v2", files)


def gqa_source(folder: Path, wanted: Wanted) -> DataSource:
    """GQA: train_balanced_questions.json, testdev_balanced_questions.json (else val), and `images/`. Hudson and Manning
    2019; https://cs.stanford.edu/people/dorarad/gqa/download.html."""
    images = wanted.spec.folder("images", folder / "images")
    train = needed(wanted.spec, folder / "train_balanced_questions.json")
    names = ("testdev_balanced_questions.json", "val_balanced_questions.json")
    test = next((folder / name for name in names if (folder / name).is_file()), folder / names[0])
    read = _gqa(images)
    parts = [Part(train, read, LEARN, None), Part(needed(wanted.spec, test), read, ONLY["test"], None)]
    return _source(wanted, folder, parts, "gqa")


def textvqa_source(folder: Path, wanted: Wanted) -> DataSource:
    """TextVQA 0.5.1: TextVQA_0.5.1_{train,val}.json and `train_images/`, which holds the pictures of both. Singh et al.
    2019; https://textvqa.org/dataset."""
    images = wanted.spec.folder("images", folder / "train_images")
    read = _textvqa(images)
    parts = [
        Part(needed(wanted.spec, folder / f"TextVQA_0.5.1_{part}.json"), read, splits, "data")
        for part, splits in (("train", LEARN), ("val", ONLY["test"]))
    ]
    return _source(wanted, folder, parts, "textvqa")


def vizwiz_source(folder: Path, wanted: Wanted) -> DataSource:
    """VizWiz-VQA: Annotations/{train,val}.json, and `train/`, `val/`. Gurari et al. 2018;
    https://vizwiz.org/tasks-and-datasets/vqa."""
    images = wanted.spec.folder("images", folder)
    parts = [
        Part(needed(wanted.spec, folder / "Annotations" / f"{part}.json"), _vizwiz(images / part), splits, apart=True)
        for part, splits in (("train", LEARN), ("val", ONLY["test"]))
    ]
    return _source(wanted, folder, parts, "vizwiz")


def _source(
    wanted: Wanted, folder: Path, parts: Sequence[Part], annotator: str, files: Sequence[Path] = ()
) -> DataSource:
    records = Records(wanted.spec.text, tuple(parts), wanted.spec.max_broken(), wanted.limit)
    return record_source(
        records, wanted, annotator=annotator, licence=licence_of(folder), folder=folder, files=tuple(files)
    )


def needed(spec: Spec, path: Path) -> Path:
    """A file of a set. Raises UsageError where it is not there."""
    if not path.is_file():
        raise UsageError(f"data source '{spec.text}': no {path.name} in {path.parent}; it comes with the set")
    return path


class Answers:
    """The answers of a VQA v2 file by question: where each record stands, 24 bytes a question, read when asked for."""

    def __init__(self, file: Path) -> None:
        self.file = file

    @cached_property
    def _places(self) -> tuple[Any, Any]:
        told = []
        for record in walk(self.file):
            if record.section == "annotations":
                try:
                    told.append((int(record.value["question_id"]), record.offset, record.length))
                except (KeyError, TypeError, ValueError) as error:
                    raise LynxError(f"{self.file}, {record.place}: not an annotation ({error})") from None
        places = np.array(told, np.int64).reshape(-1, 3)
        return places[np.argsort(places[:, 0], kind="stable")], self.file.open("rb")

    def of(self, question: int) -> dict[str, Any]:
        """The annotation of a question. Raises Broken where there is none."""
        places, file = self._places
        row = int(np.searchsorted(places[:, 0], question))
        if row == len(places) or places[row, 0] != question:
            raise Broken(f"question {question} has no annotation in {self.file.name}")
        value: dict[str, Any] = read_at(file, int(places[row, 1]), int(places[row, 2]))
        return value


def reading(read: Callable[[Any], T]) -> Callable[[Record], T]:
    """A reader of records, from a reader of what they hold. What is missing or of a wrong kind breaks a record."""

    def told(record: Record) -> T:
        try:
            return read(record.value)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Broken(f"{error} is missing or of the wrong kind") from None

    return told


def _vqav2(answers: Answers, images: Path, part: str) -> Read:
    def read(value: Any) -> Talk:
        number, question = int(value["image_id"]), str(value["question"])
        told = answers.of(int(value["question_id"]))
        given = tuple(str(one["answer"]) for one in told["answers"])
        name = f"COCO_{part}_{number:012}.jpg"
        learned = str(told.get("multiple_choice_answer") or most_given(given))
        return Talk(name, str(images / name), ((question, learned),), given, str(told.get("answer_type", "")))

    return reading(read)


def _gqa(images: Path) -> Read:
    def read(value: Any) -> Talk:
        name = f"{value['imageId']}.jpg"
        kind = str((value.get("types") or {}).get("structural", ""))
        return Talk(name, str(images / name), ((str(value["question"]), str(value["answer"])),), (), kind)

    return reading(read)


def _textvqa(images: Path) -> Read:
    def read(value: Any) -> Talk:
        name, given = f"{value['image_id']}.jpg", tuple(str(one) for one in value["answers"])
        return Talk(name, str(images / name), ((str(value["question"]), most_given(given)),), given)

    return reading(read)


def _vizwiz(images: Path) -> Read:
    def read(value: Any) -> Talk:
        name, given = str(value["image"]), tuple(str(one["answer"]) for one in value["answers"])
        kind = str(value.get("answer_type", ""))
        return Talk(name, str(images / name), ((str(value["question"]), most_given(given)),), given, kind)

    return reading(read)


def most_given(answers: Sequence[str]) -> str:
    """The most frequent answer, of several the first. Raises Broken where there is none."""
    if not answers:
        raise Broken("has no answers")
    return Counter(answers).most_common(1)[0][0]
