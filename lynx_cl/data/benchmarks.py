"""Sets that image understanding is measured by, read as they are published: what is asked, and what is accepted.

Nothing is learned from them here; `data/vqa.py` is for learning from those that have a training split.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lynx_cl.data.asked_sets import AskedSet, Question, asked_set, asking, part_of, people_asked, said
from lynx_cl.data.gqa import gqa_set
from lynx_cl.data.records import Broken
from lynx_cl.data.specs import Spec, parse_spec
from lynx_cl.data.vqa import Answers, needed
from lynx_cl.errors import LynxError, UsageError

#: What is added to a question with options, as `asked_sets.SHORT`.
LETTER = "\nAnswer with the option's letter from the given choices directly."
POPE_SPLITS = ("random", "popular", "adversarial")
_IMAGES = {"images": "folder of the pictures"}
_USUAL = {
    "prompt": "short (asks for a word, a phrase or a letter) or plain (the question alone); short if not given",
    "max_broken": "share of records that may be broken, 0.01 if not given",
}


@dataclass(frozen=True)
class Benchmark:
    """A set: what its name goes on with, its options, and what reads at most so many questions of each split."""

    summary: str
    place: str
    options: Mapping[str, str]
    open: Callable[[Spec, int], list[AskedSet]]


def open_benchmark(text: str, most: int) -> list[AskedSet]:
    """The first questions, `most` at most, of each split of a set: 'pope:FOLDER', 'scienceqa:FOLDER?split=val', ...

    Raises UsageError for an unknown set, place or option; LynxError for broken files, or too many broken records.
    """
    spec = parse_spec(text)
    found = BENCHMARKS.get(spec.kind)
    if found is None:
        known = ", ".join(f"{name}:{one.place}" for name, one in BENCHMARKS.items())
        raise UsageError(
            f"--data {text}: the suite understanding does not know it; known: scenes, scenes-wide, {known}"
        )
    if not spec.place:
        raise UsageError(f"--data {text}: give it as {spec.kind}:{found.place}")
    for option in spec.options:
        if option not in found.options:
            raise UsageError(f"--data {text}: option '{option}' is unknown; known: {', '.join(found.options)}")
    path = Path(spec.place).expanduser()
    if not (path.is_dir() or ("FILE" in found.place and path.is_file())):
        raise UsageError(f"--data {text}: no {'file or folder' if 'FILE' in found.place else 'folder'} {path}")
    return found.open(replace(spec, place=str(path), home=path if path.is_dir() else path.parent), most)


def _vqav2(spec: Spec, most: int) -> list[AskedSet]:
    folder, images = spec.home, spec.folder("images", spec.home) / "val2014"
    answers = Answers(needed(spec, folder / "v2_mscoco_val2014_annotations.json"))
    asks = asking(spec)

    def read(value: Any, key: str) -> Question:
        number = int(value["question_id"])
        told = answers.of(number)
        facets = {"answer type": str(told["answer_type"]), "question type": str(told["question_type"])}
        name = f"COCO_val2014_{int(value['image_id']):012}.jpg"
        return people_asked(
            asks(said(value, "question")), [one["answer"] for one in told["answers"]], images / name, facets
        )

    part = part_of(needed(spec, folder / "v2_OpenEnded_mscoco_val2014_questions.json"), read, "questions")
    return [asked_set(spec, "val", "vqav2", part, most)]


def _textvqa(spec: Spec, most: int) -> list[AskedSet]:
    images, asks = spec.folder("images", spec.home / "train_images"), asking(spec)

    def read(value: Any, key: str) -> Question:
        return people_asked(asks(said(value, "question")), value["answers"], images / f"{value['image_id']}.jpg", {})

    part = part_of(needed(spec, spec.home / "TextVQA_0.5.1_val.json"), read, "data")
    return [asked_set(spec, "val", "textvqa", part, most)]


def _pope(spec: Spec, most: int) -> list[AskedSet]:
    images, asks = spec.folder("images", spec.home), asking(spec)
    place = Path(spec.place)
    files = [place] if place.is_file() else _pope_files(spec, place)

    def read(value: Any, key: str) -> Question:
        label = said(value, "label").lower()
        if label not in ("yes", "no"):
            raise Broken(f"label is {label!r}, neither yes nor no")
        image = said(value, "image")
        turn = (asks(said(value, "text")), label)
        return Question(image, str(images / image), (turn,), number=str(value["question_id"]), facets={"label": label})

    return [asked_set(spec, _pope_split(file), "pope", part_of(file, read, "", lines=True), most) for file in files]


def _pope_files(spec: Spec, folder: Path) -> list[Path]:
    """The files of POPE's splits in a folder, in the order that they are told in."""
    files = [path for path in sorted(folder.iterdir()) if path.suffix in (".json", ".jsonl")]
    found = [path for split in POPE_SPLITS for path in files if split in path.stem]
    if not found:
        raise UsageError(
            f"--data {spec.text}: no file in {folder} is named for {', '.join(POPE_SPLITS)}; name one file"
        )
    return found


def _pope_split(file: Path) -> str:
    return next((split for split in POPE_SPLITS if split in file.stem), file.stem)


def _scienceqa(spec: Spec, most: int) -> list[AskedSet]:
    folder, images = spec.home, spec.folder("images", spec.home / "images")
    problems, listed = needed(spec, folder / "problems.json"), needed(spec, folder / "pid_splits.json")
    only = spec.one_of("only", ("image", "text"))
    splits = _json(listed)
    split = spec.options.get("split", "test")
    if not isinstance(splits, dict) or not isinstance(splits.get(split), list):
        known = ", ".join(splits) if isinstance(splits, dict) else "none"
        raise UsageError(f"--data {spec.text}: split '{split}' is not in {listed}; known: {known}")
    wanted = {str(number) for number in splits[split]}
    letter = LETTER if spec.one_of("prompt", ("short", "plain")) != "plain" else ""
    seen: set[str] = set()

    def read(value: Any, key: str) -> Question | None:
        if key not in wanted:
            return None
        seen.add(key)
        image = value.get("image")
        if only and (only == "image") != bool(image):
            return None
        return _science(value, key, images / str(value.get("split") or split) / key, letter)

    made = asked_set(spec, split, "scienceqa", part_of(problems, read, None), most, lambda: sorted(wanted - seen))
    return [made]


def _science(value: Any, key: str, pictures: Path, letter: str) -> Question:
    options = tuple(str(one) for one in value["choices"])
    place = value["answer"]
    if len(options) < 2 or not isinstance(place, int) or not 0 <= place < len(options):
        raise Broken(f"answer is {place!r} of {len(options)} choices")
    hint, image = str(value.get("hint") or "").strip(), value.get("image")
    lines = [
        *([hint] if hint else []),
        said(value, "question"),
        *(f"{chr(65 + i)}. {o}" for i, o in enumerate(options)),
    ]
    grade = str(value.get("grade", ""))
    year = int(grade.removeprefix("grade")) if grade.removeprefix("grade").isdigit() else None
    facets = {
        "subject": str(value.get("subject", "")),
        "picture": "with" if image else "without",
        "hint": "with" if hint else "without",
        "context": "some" if image or hint else "none",
        **({"grades": "1 to 6" if year <= 6 else "7 to 12", "grade": f"{year}"} if year is not None else {}),
        "topic": str(value.get("topic", "")),
    }
    return Question(
        f"{key}/{image}" if image else key,
        str(pictures / str(image)) if image else "",
        (("\n".join(lines) + letter, chr(65 + place)),),
        number=key,
        options=options,
        facets={name: kind for name, kind in facets.items() if kind},
    )


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise LynxError(f"{path}: no JSON ({error}); fetch it again") from None


BENCHMARKS: dict[str, Benchmark] = {
    "vqav2": Benchmark("VQA v2, val", "FOLDER", {**_IMAGES, **_USUAL}, _vqav2),
    "gqa": Benchmark(
        "GQA, testdev_balanced, else val_balanced",
        "FOLDER",
        {
            **_IMAGES,
            "questions": "file of the questions, such as val_all_questions.json",
            "choices": "file of valid and plausible answers, such as val_choices.json",
            **_USUAL,
        },
        gqa_set,
    ),
    "textvqa": Benchmark("TextVQA 0.5.1, val", "FOLDER", {**_IMAGES, **_USUAL}, _textvqa),
    "pope": Benchmark(
        "POPE: one file of JSON lines, or a folder of them", "FILE_OR_FOLDER", {**_IMAGES, **_USUAL}, _pope
    ),
    "scienceqa": Benchmark(
        "ScienceQA: problems.json, pid_splits.json, images",
        "FOLDER",
        {
            **_IMAGES,
            "split": "train, val, test, minival, ...; test if not given",
            "only": "image or text: only the questions with a picture, or without one",
            **_USUAL,
        },
        _scienceqa,
    ),
}
