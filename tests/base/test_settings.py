"""Settings laid one over another: what wins, and one line for what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from lynx_cl.base.settings import layered
from lynx_cl.errors import UsageError


def test_later_layers_win(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("train: {steps: 1, seed: 0}\nname: a\nempty:\n")
    second.write_text("train: {steps: 2}\n")
    told = layered([first, second], ["train.seed=7", "orders=[[x,y]]"], "train.steps=600")
    assert told == {"train": {"steps": 2, "seed": 7}, "name": "a", "empty": None, "orders": [["x", "y"]]}


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        ("a: 1", ["steps"], "setting 'steps': give it as key=value, for instance train.steps=600"),
        ("a: [", [], "a.yaml: "),
        ("3", [], "a.yaml: settings are a mapping"),
        ("'3'", [], "a.yaml: settings are a mapping"),
        ("a: ${nowhere}", [], "a.yaml: .*nowhere"),
        ("a: 1", ["a=[1"], r"settings a=\[1: "),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, text: str, overrides: list[str], message: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        layered([path], overrides, "train.steps=600")
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="absent.yaml: no such settings file"):
        layered([tmp_path / "absent.yaml"], [], "train.steps=600")


def test_a_list_is_no_settings(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("- 1\n")
    with pytest.raises(UsageError, match="a.yaml: settings are a mapping"):
        layered([path], [], "train.steps=600")
