"""Public benchmarks of continual instruction tuning in their own layouts: each shipped study reads them as they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from lynx_cl.continual.study import lessons, read_study
from lynx_cl.errors import LynxError, UsageError
from lynx_cl.home import Home

SETTINGS = ["base=nano", "budget.pictures=12"]


def pictures(folder: Path, names: list[str]) -> None:
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12, 8), (number * 9 % 256, 80, 90)).save(path)


def write(file: Path, images: Path, prefix: str, count: int, form: str, answer: object = "yes") -> None:
    """A file of instructions in the form of training or of tests, and its pictures, told from `images`."""
    names = [f"{prefix}{number:03}.jpg" for number in range(count)]
    pictures(images, names)
    told = []
    for number, name in enumerate(names):
        if form == "train":
            turns = [{"from": "human", "value": f"<image>\nQuestion {number}?"}, {"from": "gpt", "value": "yes"}]
            told.append({"id": str(number), "image": name, "conversations": turns})
        else:
            given = {} if answer is None else {"answer": answer}
            told.append({"question_id": str(number), "image": name, "text": f"Question {number}?", **given})
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(told))


def captions(file: Path, prefix: str, count: int) -> None:
    images = [{"id": n + 1, "file_name": f"{prefix}{n:03}.jpg"} for n in range(count)]
    told = [
        {"id": 10 * n + i, "image_id": n + 1, "caption": f"caption {i} of {n}"} for n in range(count) for i in range(5)
    ]
    file.write_text(json.dumps({"images": images, "annotations": told, "type": "captions"}))


def coin(root: Path) -> None:
    data = root / "cl_dataset"
    for name, test, answer in (
        ("ScienceQA", "test", None),
        ("TextVQA", "val", None),
        ("ImageNet", "test", "golden retriever"),
        ("GQA", "test", "yes"),
        ("VizWiz", "val", "Unanswerable"),
        ("Grounding", "test", "[0.1, 0.2, 0.5, 0.6]"),
        ("VQAv2", "val", "2"),
        ("OCRVQA", "test", "A. Smith"),
    ):
        folder = root / "Instructions_Original" / name
        write(folder / "train.json", data, f"./{name}/train/", 60, "train")
        write(folder / f"{test}.json", data, f"./{name}/{test}/", 5, "test", answer)
    problems = {str(n): {"question": "?", "choices": ["a", "b", "c"], "answer": n % 3} for n in range(5)}
    (data / "ScienceQA" / "problems.json").write_text(json.dumps(problems))
    people = [{"question_id": n, "image_id": str(n), "answers": ["stop"] * 9 + ["STOP"]} for n in range(5)]
    (data / "TextVQA" / "TextVQA_0.5.1_val.json").write_text(json.dumps({"data": people, "dataset_type": "val"}))


def ucit(root: Path) -> None:
    for name, train in (
        ("ImageNet-R", "train"),
        ("ArxivQA", "train_4w"),
        ("VizWiz", "train"),
        ("IconQA", "train"),
        ("CLEVR", "train_4w"),
        ("Flickr30k", "train_brief_4w"),
    ):
        folder, data = root / "instructions" / name, root / "datasets"
        write(folder / f"{train}.json", data, f"{name}/train/", 60, "train")
        captioned = name in ("VizWiz", "Flickr30k")
        write(folder / "test_3000.json", data, f"{name}/val/", 5, "test", None if captioned else "B")
        if captioned:
            captions(folder / "val_coco_type_3000.json", f"{name}/val/", 5)


def trigap(root: Path) -> None:
    for name, train, test in (
        ("PMCVQA", "train_standard_4w", "test_standard_3k"),
        ("DocVQA", "train_converted_sub", "val_converted"),
        ("ChartQA", "train_standard_4w_sub", "test_standard_3k"),
        ("IconQA", "train_sub", "test_3000"),
        ("InfographicVQA", "infographicsVQA_train_converted_sub", "infographicsVQA_val_converted"),
        ("ArxivQA", "train_4w_sub", "test_3000"),
        ("Roadside", "train_standard_4w", "test_standard_3k"),
        ("ChemVQA", "train_standard_4w", "test_standard_3k"),
        ("FloodNetVQA", "train_standard_4w_sub", "test_standard_3k"),
        ("CLEVR", "train_4w_sub", "test_3000"),
    ):
        folder, data = root / "instructions" / name, root / "datasets"
        write(folder / f"{train}.json", data, f"{name}/images/a", 60, "train")
        answer = ["12 May", "May 12"] if name == "DocVQA" else "B"
        write(folder / f"{test}.json", data, f"{name}/images/b", 5, "test", answer)


def domain(root: Path) -> None:
    for name in ("RS", "Med", "AD", "Sci", "Fin"):
        write(root / name / "train.json", root / name, "images/a", 60, "train")
        write(root / name / "test.json", root / name, "images/b", 5, "test")


def ability(root: Path) -> None:
    for name in ("OCR", "Math", "VP", "APP"):
        write(root / name / "train.json", root / name, "images/", 60, "train")
        test = root / f"{name}_test"
        write(test / "test.json", test, "images/t", 5, "test", ["yes", "Yes."] if name == "OCR" else "yes")


BENCHMARKS = {
    "coin": ("COIN", coin, 8),
    "ucit": ("UCIT", ucit, 6),
    "trigap": ("TRIGAP", trigap, 10),
    "mllm-cl-domain": ("MLLM_CL_DOMAIN", domain, 5),
    "mllm-cl-ability": ("MLLM_CL_ABILITY", ability, 4),
}


@pytest.fixture(params=list(BENCHMARKS))
def benchmark(request, tmp_path, monkeypatch):
    """The name of a benchmark, its folder, written small, and how many tasks it has."""
    variable, make, tasks = BENCHMARKS[request.param]
    make(tmp_path / "data")
    monkeypatch.setenv(variable, str(tmp_path / "data"))
    return request.param, tmp_path / "data", tasks


def opened(name: str, tmp_path: Path):
    study = read_study(name, SETTINGS, Home(tmp_path / "home"))
    return study, lessons(study, tuple(study.tasks), Home(tmp_path / "home"))


def test_every_task_is_read_as_it_lies_on_disk(benchmark, tmp_path):
    name, _, tasks = benchmark
    study, own = opened(name, tmp_path)
    assert len(own) == tasks == len({lesson.task for lesson in own})
    for lesson in own:
        counts = lesson.source.summary()["pictures"]
        assert counts["train"] == 12 and counts["test"] == 5 and 0 < counts["calibration"] <= 12
        assert lesson.card.metric == study.tasks[lesson.task].metric
        example = next(lesson.source.examples("test"))
        assert example.task == lesson.task and example.prompt == "Question 0?" and example.open().size == (12, 8)
        held = {split: {e.image_key for e in lesson.source.examples(split)} for split in counts}
        assert not held["test"] & (held["train"] | held["calibration"])


def test_answers_that_lie_in_a_file_of_their_own(tmp_path, monkeypatch):
    for name, (variable, make, _) in BENCHMARKS.items():
        make(tmp_path / name)
        monkeypatch.setenv(variable, str(tmp_path / name))
    _, own = opened("coin", tmp_path)
    by_task = {lesson.task: list(lesson.source.examples("test")) for lesson in own}
    assert [e.steps[0].answer for e in by_task["scienceqa"]] == ["A", "B", "C", "A", "B"]
    assert by_task["textvqa"][0].references == ("stop",) * 9 + ("STOP",)
    assert by_task["textvqa"][0].steps[0].answer == "stop"
    _, own = opened("ucit", tmp_path)
    caption = {lesson.task: next(lesson.source.examples("test")) for lesson in own}["flickr30k"]
    assert caption.references == tuple(f"caption {i} of 0" for i in range(5))
    _, own = opened("trigap", tmp_path)
    assert {lesson.task: next(lesson.source.examples("test")) for lesson in own}["docvqa"].references[1] == "May 12"


def test_a_missing_picture_is_told_by_file_and_line_and_refused_above_the_share(benchmark, tmp_path):
    name, root, _ = benchmark
    study, own = opened(name, tmp_path)
    files = sorted(root.rglob("train*.json"))
    told = json.loads(files[0].read_text())
    (image,) = [path for path in root.rglob("*.jpg") if str(path).endswith(told[0]["image"].removeprefix("./"))][:1]
    image.unlink()
    with pytest.raises(LynxError, match=r"line 1, record 1: its picture .* is missing"):
        for lesson in opened(name, tmp_path)[1]:
            lesson.source.summary()


def test_a_benchmark_that_is_not_there(monkeypatch, tmp_path):
    monkeypatch.delenv("COIN", raising=False)
    with pytest.raises(UsageError, match=r"'COIN' not found"):
        read_study("coin", SETTINGS, Home(tmp_path))
    monkeypatch.setenv("COIN", str(tmp_path))
    with pytest.raises(UsageError, match=r"no file .*ScienceQA/train\.json"):
        read_study("coin", SETTINGS, Home(tmp_path))
