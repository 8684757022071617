"""LLaVA-style files: conversations as they are told, broken records told by line, counted, and refused when many."""

from __future__ import annotations

import json
import re
import tracemalloc

import pytest

from lynx_cl.data import record_cache
from lynx_cl.data.built import build
from lynx_cl.data.readers import absolute, problems
from lynx_cl.data.records import Records
from lynx_cl.data.sources import open_source
from lynx_cl.errors import LynxError, UsageError
from lynx_cl.tasks import load_card
from tests.data.folders import talk, write_llava

SPLITS = ("train", "calibration", "test")


def opened(file, **options):
    more = "&".join(f"{key}={value}" for key, value in {"images": "images", **options}.items())
    return open_source(f"llava:{file}?{more}")


def spoil(file, lines: dict[int, str]):
    """Writes other text in place of some lines, counted from 1."""
    told = file.read_text().splitlines()
    for number, text in lines.items():
        told[number - 1] = text
    file.write_text("\n".join(told) + "\n")


@pytest.mark.parametrize("name", ["train.jsonl", "train.json"])
def test_lines_and_arrays_give_the_same_examples_whole_and_in_places(tmp_path, name):
    source = opened(write_llava(tmp_path, 40, name))
    groups = {split: source.groups(split) for split in SPLITS}
    streamed = {split: list(group) for split, group in groups.items()}  # before any index
    assert sum(map(len, groups.values())) == 40
    for split in SPLITS:
        assert [groups[split][i] for i in range(len(groups[split]))] == streamed[split]
        assert list(groups[split][1:]) == streamed[split][1:]
    example = streamed["train"][0][0]
    assert example.prompt == "Which number is it, of 40?"
    assert example.steps[0].answer == f"number {int(example.image_key[6:9])}"
    assert example.open().size == (12, 8) and example.phrasing == ""
    assert example.provenance.annotator == "llava json"


def test_all_records_about_one_picture_are_in_one_split(tmp_path):
    file = write_llava(tmp_path, 60)
    told = file.read_text()
    file.write_text(told + told)
    source = opened(file)
    held = {split: {e.image_key for e in source.examples(split)} for split in SPLITS}
    assert sum(map(len, held.values())) == 60 and sum(len(source.groups(split)) for split in SPLITS) == 120


def test_test_and_calibration_files_of_their_own(tmp_path):
    file = write_llava(tmp_path, 30)
    write_llava(tmp_path, 7, "test.json")
    write_llava(tmp_path, 5, "val.json")
    source = opened(file, test="test.json", calibration="val.json")
    assert source.summary()["pictures"] == {"train": 30, "calibration": 5, "test": 7}
    halfway = opened(file, test="test.json").summary()["pictures"]
    assert halfway["train"] + halfway["calibration"] == 30 and 0 < halfway["calibration"] < 10


def test_conversations_are_learned_whole_and_tested_by_their_first_question(tmp_path):
    file = write_llava(tmp_path, 30)
    turns = ("What is it?", "A dog.", "What colour is the <image> dog?", "Red.")
    file.write_text("\n".join(json.dumps(talk(f"train-{i:03}.png", *turns)) for i in range(30)))
    source = opened(file)
    train, test = next(source.examples("train")), next(source.examples("test"))
    assert [(s.question, s.answer) for s in train.steps] == [turns[:2], ("What colour is the  dog?", "Red.")]
    assert [(s.question, s.answer) for s in test.steps] == [turns[:2]]


def test_question_files_of_the_benchmarks(tmp_path):
    write_llava(tmp_path, 30)
    asked = [{"question_id": i, "image": f"train-{i:03}.png", "text": "Two?", "answer": 2} for i in range(30)]
    (tmp_path / "q.json").write_text(json.dumps(asked))
    example = next(opened(tmp_path / "q.json").examples("test"))
    assert (example.prompt, example.steps[0].answer) == ("Two?", "2")


BROKEN = {
    "{": "no JSON",
    "[]": "a record is an object",
    '{"image": 3}': "image is 3, not the path",
    '{"image": ["a", "b"]}': "names 2 pictures",
    '{"image": "train-001.png"}': "neither 'conversations' nor 'text'",
    json.dumps(talk("train-001.png", "Alone?")): "holds 1 turns; each question needs its answer",
    json.dumps(talk("train-001.png", "Well?", " ")): "turn 2 says nothing",
    json.dumps(talk("none.png", "Where?", "Here.")): r"its picture .*none\.png is missing",
    '{"image": "train-001.png", "conversations": [{"from": "gpt", "value": "x"}, {"from": "human", "value": "y"}]}': (
        "turn 1 is from 'gpt', not human or user"
    ),
}


def test_broken_records_are_told_counted_and_passed_over(tmp_path):
    file = write_llava(tmp_path, 300)
    places = dict(zip(range(3, 300, 31), BROKEN, strict=False))
    spoil(file, places)
    source = opened(file, max_broken=0.05)
    assert sum(len(source.groups(split)) for split in SPLITS) == 300 - len(BROKEN)
    first, *others = source.remarks()
    assert first == "9 of 300 records are broken and passed over; the first of them:"
    assert f"{file}, line 3: no JSON" in others[0]
    told = list(problems(f"llava:{file}?images=images"))
    assert len(told) == len(BROKEN)
    for (line, text), said in zip(places.items(), told, strict=True):
        assert said.startswith(f"{file}, line {line}: ")
        assert re.search(BROKEN[text], said)


def test_whose_labels_they_are_is_known_without_counting(tmp_path, monkeypatch):
    """Counting goes through the whole file, which takes minutes where it is large."""
    file = write_llava(tmp_path, 20)
    monkeypatch.setattr("lynx_cl.data.records.Records._pass", lambda *_: pytest.fail("the records were counted"))
    assert opened(file, annotator="x").labels.trained == ("x",)


def test_a_file_that_holds_nothing_is_told(tmp_path):
    file = tmp_path / "empty.jsonl"
    file.write_text("\n")
    assert list(problems(f"llava:{file}")) == [f"{file}: no record; give a file that holds some"]


def test_too_many_broken_records_are_refused(tmp_path):
    file = write_llava(tmp_path, 100)
    spoil(file, {5: "{", 50: "{"})
    with pytest.raises(
        LynxError, match=r"2 of 100 records are broken, more than the share 0.01 .*line 5: no JSON"
    ) as caught:
        list(opened(file).examples("train"))
    assert "\n" not in str(caught.value)
    assert len(list(opened(file, max_broken=0.02).examples("train"))) > 50
    with pytest.raises(LynxError, match="more than the share"):
        opened(file, max_broken=0).summary()


def test_records_without_a_picture_are_no_fault(tmp_path):
    file = write_llava(tmp_path, 30)
    spoil(file, {1: json.dumps(talk(None, "Who wrote it?", "Nobody."))})
    assert opened(file).remarks() == ["1 of 30 records are about no picture and passed over"]


def test_a_cut_off_picture_is_found_by_the_check(tmp_path):
    file = write_llava(tmp_path, 30)
    image = tmp_path / "images" / "train-004.png"
    image.write_bytes(image.read_bytes()[:45])
    (said,) = problems(f"llava:{file}?images=images")
    assert said.startswith(f"{file}, line 5: ") and "train-004.png" in said


def test_the_digest_follows_words_and_pictures(tmp_path):
    file = write_llava(tmp_path, 30)
    before = opened(file).digest()
    assert opened(file).digest() == before
    with (tmp_path / "images" / "train-003.png").open("ab") as picture:
        picture.write(b" ")
    changed = opened(file).digest()
    assert changed != before
    spoil(file, {2: json.dumps(talk("train-001.png", "Other?", "Yes."))})
    assert opened(file).digest() not in (before, changed)


def test_a_file_that_changes_under_way(tmp_path):
    file = write_llava(tmp_path, 30)
    groups = opened(file).groups("train")
    assert len(groups) > 10
    file.write_text("x")
    with pytest.raises(LynxError, match=r"train\.jsonl: has changed since it was opened"):
        groups[3]


def test_a_limit_ends_the_pass_early(tmp_path):
    file = write_llava(tmp_path, 200)
    spoil(file, {200: "{"})
    source = open_source(f"llava:{file}?images=images&max_broken=0", limit=3)
    assert source.summary()["pictures"] == {"train": 3, "calibration": 3, "test": 3}
    assert len(list(source.examples("train"))) == 3


def test_an_index_is_kept_for_the_next_time(tmp_path, monkeypatch):
    monkeypatch.setattr(record_cache, "LARGE", 1)
    monkeypatch.setattr(record_cache, "cache_folder", lambda: tmp_path / "cache")
    file = write_llava(tmp_path, 50)
    spoil(file, {7: "{"})
    first = opened(file, max_broken=0.1)
    counts, said = first.summary()["pictures"], first.remarks()
    (kept,) = (tmp_path / "cache").iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(Records, "_pass", lambda *_: pytest.fail("gone through again"))
        again = opened(file, max_broken=0.1)
        assert again.summary()["pictures"] == counts and again.remarks() == said
        assert [again.groups("test")[0]] == list(first.groups("test"))[:1]
    kept.write_bytes(b"not an index")
    assert opened(file, max_broken=0.1).summary()["pictures"] == counts
    spoil(file, {8: "{"})  # another file, another index
    assert opened(file, max_broken=0.1).remarks()[0].startswith("2 of 50")


def test_memory_does_not_grow_with_the_file(tmp_path):
    write_llava(tmp_path, 3)
    line = json.dumps(talk("train-000.png", "What is it? " * 20, "A thing."))
    for name in ("001", "002"):
        (tmp_path / f"{name}.jsonl").write_text(line.replace("train-000", f"train-{name}"))
    peaks = []
    for count in (1_000, 12_000):
        file = tmp_path / f"{count}.jsonl"
        file.write_text(f"{line}\n" * count)
        source = open_source(f"llava:{file}?images=images&test=001.jsonl&calibration=002.jsonl")
        tracemalloc.start()
        assert len(source.groups("train")) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 40 * 12_000  # bytes; the file is 4 MB longer


def test_a_built_set_of_them_gives_the_same_examples(tmp_path):
    source = opened(write_llava(tmp_path, 40))
    card = load_card("instruct")
    again = open_source(f"built:{build(source, tmp_path / 'out', images=True)}", card)
    for split in SPLITS:
        pairs = zip(source.examples(split), again.examples(split), strict=True)
        assert all((a.steps, a.references) == (b.steps, b.references) for a, b in pairs)


def test_names_are_made_absolute_with_their_options(tmp_path, monkeypatch):
    write_llava(tmp_path, 30)
    monkeypatch.chdir(tmp_path)
    made = absolute("llava:train.jsonl?images=images&max_broken=0")
    assert made == f"llava:{tmp_path}/train.jsonl?images=images&max_broken=0"
    assert absolute("scout") == "scout"
    monkeypatch.chdir("/")
    assert open_source(made).summary()["pictures"]["train"] > 10


@pytest.mark.parametrize(
    ("options", "task", "message"),
    [
        (
            "image=images",
            None,
            "option 'image' is unknown; known: images, test, test_images, answers, calibration, max",
        ),
        ("images", None, "option 'images': give it as NAME=VALUE"),
        ("images=nowhere", None, "images: no folder .*nowhere"),
        ("test=no.json", None, r"test: no file .*no\.json"),
        ("max_broken=2", None, "max_broken = '2': give a share"),
        ("images=images", "grounding", "holds questions and answers; task 'grounding' is of kind grounding"),
    ],
)
def test_mistakes_in_a_name(tmp_path, options, task, message):
    file = write_llava(tmp_path, 30)
    with pytest.raises(UsageError, match=message):
        open_source(f"llava:{file}?{options}", load_card(task) if task else None)
    with pytest.raises(UsageError, match="no file"):
        open_source(f"llava:{tmp_path}")
    with pytest.raises(UsageError, match="task 'instruct' is of kind instruct"):
        open_source("scenes", load_card("instruct"), limit=3)


def test_pictures_of_the_test_file_are_left_out_of_train_and_said(tmp_path):
    file = write_llava(tmp_path, 40)
    lines = file.read_text().splitlines()
    (tmp_path / "test.jsonl").write_text("\n".join(line.replace('"train-', '"./train-') for line in lines[:4]))
    source = opened(file, test="test.jsonl")
    streamed = {e.image_key for e in source.examples("train")} | {e.image_key for e in source.examples("calibration")}
    counts = source.summary()["pictures"]
    assert counts["test"] == 4 and counts["train"] + counts["calibration"] == 36 == len(streamed)
    assert "train-003.png" not in streamed
    assert source.remarks() == ["4 of 44 records are about pictures or prompts of another split; left out of train"]


def test_pictures_of_one_name_in_two_folders_are_two(tmp_path):
    file = write_llava(tmp_path / "a", 40)
    write_llava(tmp_path / "b", 10)
    spec = f"llava:{file}?images=images&test=../b/train.jsonl&test_images=../b/images"
    source = open_source(spec)
    assert source.summary()["pictures"]["test"] == 10 and source.remarks() == []
    keys = {split: {e.image_key for e in source.examples(split)} for split in SPLITS}
    assert not keys["test"] & (keys["train"] | keys["calibration"])


def test_a_set_that_is_moved_keeps_its_digest(tmp_path):
    before = opened(write_llava(tmp_path / "a", 40)).digest()
    (tmp_path / "a").rename(tmp_path / "b")
    assert opened(tmp_path / "b" / "train.jsonl").digest() == before
