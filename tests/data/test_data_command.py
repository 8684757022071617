"""`lynx-cl data` as a user meets it."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from lynx_cl.cli.main import main
from tests.data.folders import small_voc, talk, write_llava
from tests.data.published import write_refcoco


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("LYNX_CL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def facts(capsys, *arguments: str):
    assert main(["data", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_build_then_list_then_show(capsys, tmp_path):
    built = facts(capsys, "build", "scout", "--scenes", "3", "--seed", "5")
    assert built["pictures"] == {"train": 3, "calibration": 3, "test": 3} and built["annotator"] == "oracle"
    assert built["folder"].startswith(str(tmp_path / "home"))
    listed = facts(capsys, "list")
    assert [row["source"] for row in listed["built"]] == [f"built:{built['folder']}"]
    assert "scout[:FOLDER[?images=...]]" in [row["source"] for row in listed["kinds"]]
    shown = facts(capsys, "show", f"built:{built['folder']}", "--save", str(tmp_path / "sheet.png"))
    assert shown["drawn"] == 3


def test_show_draws_a_sheet_of_a_folder(capsys, tmp_path):
    path = tmp_path / "cells.png"
    arguments = ["show", f"voc:{small_voc(tmp_path / 'v')}", "--task", "cells", "--split", "test", "--save", str(path)]
    assert facts(capsys, *arguments)["drawn"] == 2
    with Image.open(path) as sheet:
        assert sheet.size == (1000, 234)
    assert main(["data", *arguments]) == 0
    assert "annotator  voc xml" in capsys.readouterr().out


def test_show_writes_a_page_that_needs_no_other_file(capsys, tmp_path):
    path = tmp_path / "samples.html"
    file = write_llava(tmp_path, 200)
    record = talk("train-000.png", "Is <b>1</b> < 2?", "Yes & no.")
    lines = ["{", *(json.dumps({**record, "image": f"train-{i:03}.png"}) for i in range(1, 200))]
    file.write_text("\n".join(lines))
    shown = facts(capsys, "show", f"llava:{file}?images=images", "--count", "3", "--save", str(path))
    assert shown["drawn"] == 3 and shown["remarks"][0].startswith("1 of 200 records are broken")
    page = path.read_text()
    assert page.count("data:image/jpeg;base64,") == page.count("<article>") == 3 and "http" not in page
    assert "Is &lt;b&gt;1&lt;/b&gt; &lt; 2?" in page and "Yes &amp; no." in page


def test_a_page_shows_boxes_where_they_are(capsys, tmp_path):
    path = tmp_path / "samples.html"
    spec = f"refcoco:{write_refcoco(tmp_path / 'refcoco', {1: 'train', 2: 'val', 3: 'test'})}"
    assert facts(capsys, "show", spec, "--split", "test", "--save", str(path))["drawn"] == 1
    page = path.read_text()
    assert 'x="0.2500" y="0.5000" width="0.5000" height="0.5000"' in page and "man 3 in red" in page


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["show", "scot"], 2, "did you mean scout?"),
        (["show", "scout", "--save", "no/such/place/a.png"], 2, "no such folder"),
        (["show", "scout", "--save", "a.gif"], 2, "--save a.gif: end its name in .png, .html, .htm"),
        (["show", "scout", "--save", "."], 2, "--save .: a folder; name a file in it"),
        (["show", "scout", "--split", "dev", "--save", "a.png"], 2, "split 'dev' is unknown"),
        (["build", "scout", "--task", "nothing"], 2, "task 'nothing' is unknown"),
        (["build", "scout", "--scenes", "0"], 2, "--pictures"),
        (["build", "built:."], 1, "no manifest.json"),
    ],
)
def test_mistakes_are_one_line(capsys, tmp_path, monkeypatch, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    assert main(["data", *arguments]) == code
    error = capsys.readouterr().err
    assert error.startswith("lynx-cl: ") and error.count("\n") == 1 and message in error
    assert not list(tmp_path.glob("*.png"))
