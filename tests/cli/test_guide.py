"""The guide's commands: every one is known with every option and setting, and all of them run, in their order."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from lynx_cl.cli.main import load, main
from lynx_cl.continual.config import read_config

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guide.md"
SETTING = re.compile(r"[a-z_]+(\.[a-z_]+)*=\S+")
SHORTER = {"train.steps=5000": "train.steps=2", "train.steps=20": "train.steps=1", "--max-growth 5": "--max-growth 500"}


def commands() -> list[str]:
    """Every command line of `lynx-cl` in the guide, as it stands there."""
    blocks = re.findall(r"```sh\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith("lynx-cl ")]


@pytest.mark.parametrize("line", commands())
def test_the_command_line_knows_what_the_guide_says(line: str) -> None:
    name, *arguments = shlex.split(line)[1:]
    command = load(name)
    if hasattr(command, "get_command"):
        group = command.make_context(name, arguments, resilient_parsing=True)
        command, arguments = command.get_command(group, arguments[0]), arguments[1:]
    command.make_context(name, arguments)  # parses, and raises for an option that it does not have; runs nothing
    settings = [argument for argument in arguments if SETTING.fullmatch(argument)]
    read_config(settings)


def test_an_option_that_is_not_there_would_be_seen() -> None:
    with pytest.raises(Exception, match="No such option: --no-such"):
        load("add-task").make_context("add-task", ["grounding", "--no-such", "1"])
    assert len(commands()) > 15


@pytest.mark.slow
def test_the_commands_run_on_a_tiny_model_of_the_family(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    from tests.banks.detectors import grounding_dino
    from tests.data.published import write_refcoco
    from tests.families.zoo import save_family

    monkeypatch.chdir(tmp_path)
    save_family("smolvlm", tmp_path / "SmolVLM")
    splits = {number: ("train", "val", "testA", "testB")[number % 4] for number in range(40)}
    write_refcoco(tmp_path / "data" / "refcoco", splits)
    grounding_dino(tmp_path / "grounding-dino-tiny")
    Image.radial_gradient("L").convert("RGB").save("photo.jpg")
    monkeypatch.setenv("LYNX_CL_HOME", str(tmp_path / "other"))
    for line in commands():
        for long, short in SHORTER.items():
            line = line.replace(long, short)
        assert main(shlex.split(line)[1:]) == 0, (line, capsys.readouterr().err[-500:])
    assert {path.name for path in tmp_path.iterdir()} >= {"samples.html", "found.png", "grounding.lynx", "adapter"}
    assert (tmp_path / "SmolVLM" / "base.yaml").exists() and (tmp_path / "home-detector" / "bases.json").exists()
