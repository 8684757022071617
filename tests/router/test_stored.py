"""The router of a registry, and `lynx-cl route`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lynx_cl.cli.main import main
from lynx_cl.errors import LynxError, UsageError
from lynx_cl.home import VARIABLE
from lynx_cl.registry import Registry
from lynx_cl.router.embedders import Request, TextEmbedder, embedder_named
from lynx_cl.router.statistics import fit_task
from lynx_cl.router.stored import FILE, load_router
from tests.registry.samples import BASE, manifest
from tests.router.embedding import PROMPTS

CELLS = Request("Mark the white cell.")


@pytest.fixture(scope="module")
def fitted() -> dict[str, bytes]:
    embedder = TextEmbedder()
    return {name: fit_task(name, texts, embedder).to_bytes() for name, texts in PROMPTS.items()}


def filled(path: Path, fitted: dict[str, bytes], *tasks: str, base: str = "no-such-base", **kept: bytes) -> Registry:
    registry = Registry(path)
    registry.init(BASE, base, files=kept)
    for task in tasks:
        registry.add(manifest(task), {"bank": task.encode(), "router": fitted[task]})
    return registry


def base_folder(path: Path, fitted: dict[str, bytes]) -> Path:
    path.mkdir()
    (path / "config.json").write_text('{"model_type": "llava"}')
    (path / FILE).write_bytes(fitted["base"])
    return path


def test_order_of_adds_changes_no_bit(tmp_path: Path, fitted: dict[str, bytes]) -> None:
    folder = base_folder(tmp_path / "base", fitted)
    orders = (("cells", "grounding"), ("grounding", "cells"))
    decisions = [
        load_router(filled(tmp_path / order[0], fitted, *order), folder).decide([CELLS])[0] for order in orders
    ]
    assert decisions[0] == decisions[1]
    assert decisions[0].task == "cells" and list(decisions[0].probabilities) == ["base", "cells", "grounding"]


def test_statistics_of_the_base_may_lie_in_the_registry(tmp_path: Path, fitted: dict[str, bytes]) -> None:
    router = load_router(filled(tmp_path, fitted, "cells", router=fitted["base"]), None)
    assert [task.task for task in router.tasks] == ["base", "cells"]


def test_no_registry_yet_means_no_task(tmp_path: Path, fitted: dict[str, bytes]) -> None:
    router = load_router(Registry(tmp_path / "none"), base_folder(tmp_path / "base", fitted))
    assert router.decide([Request("Describe this picture.")])[0].task == "base"


def test_wrong_statistics_are_named(tmp_path: Path, fitted: dict[str, bytes]) -> None:
    registry = filled(tmp_path / "a", fitted)
    registry.add(manifest("cells"), {"bank": b"b", "router": fitted["grounding"]})
    with pytest.raises(LynxError, match="task cells: the router statistics are of 'grounding'"):
        load_router(registry, None)
    registry = filled(tmp_path / "b", fitted)
    registry.add(manifest("cells"), {"bank": b"b"})
    with pytest.raises(LynxError, match="task cells keeps no router statistics"):
        load_router(registry, None)
    with pytest.raises(
        UsageError, match="embedder 'eyes' is unknown; known: text, text:FOLDER, trunk, both; text.random:2048"
    ):
        embedder_named("eyes", None)


def test_the_registrys_router_settings_hold(tmp_path: Path, fitted: dict[str, bytes]) -> None:
    registry = Registry(tmp_path / "a")
    registry.init(BASE, "nano", router={"method": "ridge", "shrinkage": 0.01})
    assert load_router(registry, None).config.method == "ridge"
    registry = Registry(tmp_path / "b")
    registry.init(BASE, "nano", router={"shrink": 0.01})
    with pytest.raises(UsageError, match="key 'shrink' is unknown"):
        load_router(registry, None)


def test_route_prints_the_decision(
    tmp_path: Path, fitted: dict[str, bytes], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    base = base_folder(tmp_path / "base", fitted)
    filled(tmp_path / "home" / "registry", fitted, "cells", "grounding", base=str(base))
    monkeypatch.setenv(VARIABLE, str(tmp_path / "home"))
    assert main(["route", CELLS.text, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert list(told)[:4] == ["task", "abstained", "probabilities", "nearest"]
    assert (told["task"], told["abstained"]) == ("cells", False)
    assert list(told["nearest"][0]) == ["text", "task", "similarity"]
    assert sum(told["probabilities"].values()) == pytest.approx(1)
    assert main(["route", CELLS.text]) == 0
    assert "nearest prompt" in capsys.readouterr().out
    for arguments, code, words in (
        (["   "], 2, "prompt: it is empty"),
        (["Mark it.", "--image", str(tmp_path / "no.png")], 1, "no such picture"),
    ):
        assert main(["route", *arguments]) == code
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1
