"""What is printed is right on a terminal, in a pipe and as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from lynx_cl.cli.output import print_facts, print_json, print_table


def test_json_holds_no_nan_and_keeps_the_order(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"b": float("nan"), "a": (1, Path("x")), "c": {2: float("inf")}})
    assert json.loads(capsys.readouterr().out) == {"b": None, "a": [1, "x"], "c": {"2": None}}


def test_a_table_in_a_pipe_is_lines_with_tabs(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("task", "score"), [("grounding", 0.5), ("cells", None)])
    assert capsys.readouterr().out.splitlines() == ["task\tscore", "grounding\t0.5", "cells\t-"]


def test_a_table_on_a_terminal_keeps_brackets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_table(("box", "n"), [("[1, 2]", 3)], title="boxes")
    printed = capsys.readouterr().out
    assert "[1, 2]" in printed and "boxes" in printed and "\t" not in printed


def test_facts_are_one_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_facts({"task": "grounding", "card": {"metric": "acc"}})
    assert capsys.readouterr().out.splitlines() == ["task  grounding", "card", "  metric  acc"]
