"""`lynx-cl registry ...` and `remove-task` on registries of made-up banks: what they print, change and refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lynx_cl.cli.main import main
from lynx_cl.registry import Registry, verify
from tests.registry.samples import files, made, manifest, record


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made(tmp_path / "home" / "registry", "grounding", "counting")
    return tmp_path / "home"


def run(home: Path, *arguments: str) -> int:
    return main([*arguments, "--home", str(home)])


def told(capsys: Any, home: Path, *arguments: str) -> Any:
    assert run(home, *arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_log_has_the_agreed_keys(home: Path, capsys: Any) -> None:
    entries = told(capsys, home, "registry", "log")
    assert [(e["command"], e["task"]) for e in entries] == [
        ("init", None),
        ("add-task", "grounding"),
        ("add-task", "counting"),
    ]
    assert all({"snapshot", "state", "parent", "time", "command", "task"} <= set(e) for e in entries)


def test_remove_then_collect_leaves_no_byte(home: Path, capsys: Any) -> None:
    registry = Registry(home / "registry")
    plain = made(home / "plain", "counting")
    state = told(capsys, home, "remove-task", "grounding")["state"]
    assert state == plain.head().state
    dry = told(capsys, home, "registry", "gc", "--dry-run")
    assert dry["objects"] > 0 and any(b"weights of grounding" in path.read_bytes() for path in registry.objects)
    done = told(capsys, home, "registry", "gc")
    assert {**done, "dry_run": True} == dry
    left = b"".join(path.read_bytes() for path in registry.objects)
    assert b"of grounding" not in left and verify(registry) == []
    assert run(home, "remove-task", "grounding") == 2
    assert "known: counting" in capsys.readouterr().err


def test_diff_and_rollback(home: Path, capsys: Any) -> None:
    first = told(capsys, home, "registry", "log")[1]
    found = told(capsys, home, "registry", "diff", first["snapshot"][:8])
    assert list(found["tasks"]) == ["counting"] and found["tasks"]["counting"]["before"] is None
    assert found["tasks"]["counting"]["score_change"] is None
    assert told(capsys, home, "registry", "rollback", first["snapshot"][:8])["state"] == first["state"]
    assert [row["task"] for row in told(capsys, home, "registry", "list")] == ["grounding"]
    assert run(home, "registry", "rollback", "12") == 2
    assert "fewer than 4" in capsys.readouterr().err


def test_diff_shows_how_a_score_changed(home: Path, capsys: Any) -> None:
    registry = Registry(home / "registry")
    for score in (0.75, 0.8125):
        scored = record().but(scores={"blind": {"grounding": score}})
        registry.add(manifest(training={"seed": score}), files(str(score)), scored, update=True)
    before = told(capsys, home, "registry", "log")[-2]["snapshot"]
    assert told(capsys, home, "registry", "diff", before[:8])["tasks"]["grounding"]["score_change"] == 0.0625
    assert run(home, "registry", "diff", before[:8]) == 0
    assert "+0.0625" in capsys.readouterr().out


def test_tree_shows_versions_and_sizes(home: Path, capsys: Any) -> None:
    Registry(home / "registry").add(manifest(kind="lora"), files("other"), record(), update=True)
    tree = told(capsys, home, "registry", "tree")
    assert [(v["version"], v["current"], v["kind"]) for v in tree["tasks"]["grounding"]] == [
        (1, False, "twin"),
        (2, True, "lora"),
    ]
    assert tree["tasks"]["counting"][0]["bytes"] == len(b"weights of counting")
    assert run(home, "registry", "tree") == 0
    assert "* grounding@2" in capsys.readouterr().out


def test_merge_takes_what_is_new_and_names_conflicts(home: Path, tmp_path: Path, capsys: Any) -> None:
    made(tmp_path / "other" / "registry", "cells", "grounding")
    assert told(capsys, home, "registry", "merge", str(tmp_path / "other"))["taken"] == ["cells"]
    clash = Registry(tmp_path / "clash")
    clash.init("b" * 64, "nano")
    clash.add(manifest(kind="lora"), files(), record())
    head = Registry(home / "registry").head_digest()
    assert run(home, "registry", "merge", str(clash.path)) == 1
    assert "grounding (ours: version 1" in capsys.readouterr().err
    assert Registry(home / "registry").head_digest() == head
    assert told(capsys, home, "registry", "merge", str(clash.path), "--prefer", "both")["settled"] == ["grounding"]
    for wrong, code in ((["--prefer", "mine"], 2), ([], 2)):
        where = str(tmp_path) if not wrong else str(clash.path)
        assert run(home, "registry", "merge", where, *wrong) == code


def test_old_versions_go_when_told(home: Path, capsys: Any) -> None:
    registry = Registry(home / "registry")
    registry.add(manifest(kind="lora"), {"bank": b"better"}, record(), update=True)
    assert run(home, "registry", "gc", "--old-versions", "--dry-run") == 2
    told(capsys, home, "registry", "gc", "--old-versions")
    assert list(registry.entries()["grounding"].versions) == [2] and verify(registry) == []
    assert not any(path.read_bytes() == b"weights of grounding" for path in registry.objects)


@pytest.mark.parametrize("command", [["log"], ["tree"], ["gc"], ["list"], ["verify"]])
def test_a_registry_that_is_not_there(tmp_path: Path, command: list[str]) -> None:
    assert run(tmp_path / "none", "registry", *command) == 0
    assert not (tmp_path / "none").exists()
