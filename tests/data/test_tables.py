"""Parquet files and data sets of a hub: rows by split, pictures decoded when asked for, broken rows told by number."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from lynx_cl.data.readers import problems
from lynx_cl.data.sources import open_source
from lynx_cl.errors import LynxError, UsageError
from lynx_cl.tasks import load_card

datasets = pytest.importorskip("datasets", reason="needs the extra `hub`")
CARD = load_card("instruct")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def picture(number: int, size=(12, 8)) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", size, (number % 256, number // 256, 90)).save(data, "PNG")
    return data.getvalue()


def write(folder, name: str, numbers, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    rows = {
        "image": [{"bytes": picture(n), "path": f"{n}.png"} for n in numbers],
        "question": [f"Which, of {n}?" for n in numbers],
        "answers": [[f"number {n}", f"{n}", f"{n}"] for n in numbers],
        **changes,
    }
    table = datasets.Dataset.from_dict(rows).cast_column("image", datasets.Image())
    table.to_parquet(folder / f"{name}.parquet")
    return folder


def test_parquet_files_by_their_splits(tmp_path):
    write(tmp_path / "p", "train-00000-of-00002", range(40))
    write(tmp_path / "p", "train-00001-of-00002", range(40, 60))
    write(tmp_path / "p", "test-00000-of-00001", range(100, 107))
    source = open_source(f"parquet:{tmp_path / 'p'}", CARD)
    counts = source.summary()["pictures"]
    assert counts["test"] == 7 and counts["train"] + counts["calibration"] == 60 and counts["calibration"] > 0
    example = next(source.examples("test"))
    assert (example.prompt, example.steps[0].answer) == ("Which, of 100?", "100")
    assert example.references == ("number 100", "100", "100")
    assert example.open().size == (12, 8) and example.open().getpixel((0, 0)) == (100, 0, 90)
    assert len(source.digest()) == 64 and list(problems(source.name)) == [] and source.remarks() == []
    limited = open_source(f"parquet:{tmp_path / 'p'}", CARD, limit=3)
    assert limited.summary()["pictures"]["train"] == 3


def test_val_is_tested_on_where_there_is_no_test_and_one_table_is_split(tmp_path):
    write(tmp_path / "a", "train", range(40))
    write(tmp_path / "a", "validation", range(50, 54))
    assert open_source(f"parquet:{tmp_path / 'a'}", CARD).summary()["pictures"]["test"] == 4
    write(tmp_path / "b", "train", [*range(60), *range(60)])
    source = open_source(f"parquet:{tmp_path / 'b'}", CARD)
    held = {split: {e.image_key for e in source.examples(split)} for split in source.splits}
    assert sum(map(len, held.values())) == 60 and all(
        held.values()
    )  # a picture in one split, however often it is there


def test_a_data_set_by_name_or_in_a_folder_of_its_form(tmp_path, monkeypatch):
    write(tmp_path / "set" / "data", "train-00000-of-00001", range(40), caption=["x"] * 40)
    write(tmp_path / "set" / "data", "test-00000-of-00001", range(50, 55), caption=["y"] * 5)
    monkeypatch.chdir(tmp_path)
    source = open_source("hub:./set?answer=caption", CARD)
    assert {e.steps[0].answer for e in source.examples("test")} == {"y"} and len(source.digest()) == 64


def test_broken_rows_are_told_counted_and_refused_when_many(tmp_path):
    questions = [f"Which, of {n}?" for n in range(40)]
    questions[3], questions[7] = "", None
    folder = write(tmp_path / "p", "train", range(40), question=questions)
    write(folder, "test", range(50, 60))
    with pytest.raises(LynxError, match=r"2 of 50 records are broken.*split train, row 3: has no question"):
        open_source(f"parquet:{folder}", CARD)
    source = open_source(f"parquet:{folder}?max_broken=0.1", CARD)
    assert sum(source.summary()["pictures"].values()) == 48 and source.remarks()[0].startswith("2 of 50")
    cut = [{"bytes": picture(n, (300, 200))[: 200 if n == 55 else None], "path": f"{n}.png"} for n in range(50, 60)]
    write(folder, "test", range(50, 60), image=cut)
    told = list(problems(f"parquet:{folder}"))
    assert [line.partition(", split ")[2].partition(":")[0] for line in told] == [
        "train, row 3",
        "train, row 7",
        "test, row 5",
    ]


def test_mistakes(tmp_path):
    folder = write(tmp_path / "p", "train", range(40))
    with pytest.raises(UsageError, match="no column 'reply' for answers; name one with answer=.*there are: image"):
        open_source(f"parquet:{folder}?answer=reply", CARD)
    with pytest.raises(UsageError, match="task 'grounding' is of kind grounding"):
        open_source(f"parquet:{folder}", load_card("grounding"))
    with pytest.raises(UsageError, match=r"no train\*\.parquet"):
        open_source(f"parquet:{tmp_path / 'cache'}", CARD)
    (folder / "train.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(LynxError, match="cannot be loaded") as caught:
        open_source(f"parquet:{folder}", CARD)
    assert "\n" not in str(caught.value)
    with pytest.raises(LynxError, match="hub:./no/such: cannot be loaded"):
        open_source("hub:./no/such", CARD)
