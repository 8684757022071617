"""What is wrong with a base is said in one line; what is right with it, by `base add`, `base show` and `doctor`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from transformers import AutoTokenizer, Florence2Config, LlavaForConditionalGeneration, T5Config

from lynx_cl.base.load import load_base
from lynx_cl.cli.main import main
from lynx_cl.errors import LynxError
from tests.families.zoo import LAYERS, save_family


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_family("llava", tmp_path_factory.mktemp("saved") / "llava")


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(saved, tmp_path / "llava"))


def test_missing_shards(folder: Path) -> None:
    LlavaForConditionalGeneration.from_pretrained(folder).save_pretrained(folder / "parts", max_shard_size="100KB")
    (folder / "model.safetensors").unlink()
    for file in (folder / "parts").glob("model*"):
        shutil.move(file, folder / file.name)
    shards = sorted(folder.glob("model-*.safetensors"))
    assert len(shards) > 2 and load_base(str(folder)).name == "llava"
    shards[1].unlink()
    with pytest.raises(LynxError, match=f"1 of {len(shards)} weight files are missing .{shards[1].name} first.; copy"):
        load_base(str(folder))


def test_an_encoder_with_a_decoder(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    for config in (Florence2Config(), T5Config()):
        config.save_pretrained(tmp_path)
        with pytest.raises(
            LynxError, match=f"a '{config.model_type}' model has an encoder and a decoder; banks act in"
        ):
            load_base(str(tmp_path))


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def test_weights_of_another_model(folder: Path) -> None:
    edit(folder / "config.json", lambda c: c["text_config"].update(num_hidden_layers=LAYERS + 1))
    with pytest.raises(
        LynxError, match=r"the checkpoint lacks 9 tensors .*layers\.4.* first.; its config is of another"
    ):
        load_base(str(folder))
    edit(folder / "config.json", lambda c: c["text_config"].update(num_hidden_layers=LAYERS, intermediate_size=40))
    with pytest.raises(LynxError, match="llava: .*(shape|size)"):
        load_base(str(folder))


def test_a_processor_of_another_model(folder: Path) -> None:
    edit(folder / "config.json", lambda c: c.update(image_token_index=9, image_token_id=9))
    with pytest.raises(LynxError, match="processor does not fit: it never writes the model's image token 9; save the"):
        load_base(str(folder))


def test_a_tokenizer_that_is_too_large(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([f"<extra {i}>" for i in range(400)])
    tokenizer.save_pretrained(folder)
    with pytest.raises(LynxError, match="processor does not fit: it has a token .*, the model embeds 320"):
        load_base(str(folder))


def test_no_processor(folder: Path) -> None:
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(LynxError, match="llava: .*(preprocessor|image.processor)") as caught:
        load_base(str(folder))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (
            "{% for m in messages %}{% for p in m['content'] %}{{ p['text'] }}{% endfor %}{% endfor %}",
            "drops the picture",
        ),
        ("{% for m in messages %}<image>{% endfor %}", "drops the question"),
        ("{{ raise_exception('no pictures here') }}", "chat template fails: no pictures here"),
        ("{% for %}", "chat template fails: "),
    ],
)
def test_a_chat_template_that_does_not_do(folder: Path, template: str, message: str) -> None:
    (folder / "chat_template.jinja").write_text(template)
    with pytest.raises(LynxError, match=message):
        load_base(str(folder))


def test_base_add_mends_a_chat_template_and_writes_a_card(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = tmp_path / "good.jinja"
    shutil.move(folder / "chat_template.jinja", good)
    (folder / "chat_template.jinja").write_text("{{ messages[0]['content'][-1]['text'] }}")
    assert main(["base", "add", str(folder)]) == 1
    assert "drops the picture" in capsys.readouterr().err and not (folder / "base.yaml").exists()
    command = ["base", "add", str(folder), "--chat-template", str(good), "--name", "mended", "--dtype", "bfloat16"]
    assert main([*command, "--data", f"coco:{tmp_path}", "--json"]) == 0
    card = yaml.safe_load((folder / "base.yaml").read_text())
    assert card == {
        "name": "mended",
        "family": "llava",
        "grammar": "brackets",
        "dtype": "bfloat16",
        "chat_template": "lynx_chat_template.jinja",
        "taps": "model.language_model.layers.*.mlp",
        "data": [f"coco:{tmp_path}"],
    }
    assert json.loads(capsys.readouterr().out)["card"] == str(folder / "base.yaml")
    assert str(load_base(str(folder)).model.dtype) == "torch.bfloat16"
    assert main(["base", "show", str(folder), "--taps", "--every", "1", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [tap["layer"] for tap in shown["taps"]] == list(range(LAYERS)) and shown["taps"][0]["intermediate"] == 48
    for wrong, words in (
        (["--taps", "model.layers.*.ffn"], "matches no module"),
        (["--grammar", "x"], "grammar 'x' is unknown"),
        (["--dtype", "int3"], "dtype = 'int3'"),
        (["--data", "cocoa:x"], "did you mean coco?"),
        (["--chat-template", str(tmp_path / "none")], "cannot be copied"),
    ):
        assert main(["base", "add", str(folder), *wrong]) in (1, 2)
        assert words in capsys.readouterr().err


def test_doctor_tries_a_base(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def checks(code: int, *arguments: str) -> dict[str, Any]:
        assert main(["doctor", "--base", str(folder), "--json", *arguments]) == code
        return {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}

    found = checks(0)
    assert list(found) == [
        *("weights", "loads", "chat template", "picture", "whole picture", "forward", "taps", "bank lora", "bank twin")
    ]
    assert "wide and tall" in found["whole picture"]["value"] and "crops" in found["whole picture"]["advice"]
    assert "2, from model.language_model.layers.1.mlp" in found["taps"]["value"]
    assert "37,122 parameters, 48.2 % of the base" in found["bank twin"]["value"]
    assert "4, from" in checks(0, "taps.every=1")["taps"]["value"]
    whole = {"size": {"height": 28, "width": 28}, "do_center_crop": False}
    edit(folder / "preprocessor_config.json", lambda c: c.update(whole))
    assert checks(0)["whole picture"]["advice"] == ""

    free = type("Memory", (), {"available": 400_000})
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    small = checks(1)
    assert "taps.every" in small["bank lora"]["advice"] and not small["bank lora"]["ok"] and small["loads"]["ok"]
    assert "taps.every" in small["bank twin"]["advice"] and small["bank twin"]["ok"]  # nobody need take it
    free.available = 1000
    assert list(checks(1)) == ["weights"]

    monkeypatch.undo()
    (folder / "chat_template.jinja").write_text("{{ messages[0]['content'][-1]['text'] }}")
    bad = checks(1)
    assert list(bad) == ["weights", "loads"] and "drops the picture" in bad["loads"]["advice"]


def test_doctor_takes_settings_with_a_base_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "taps.every=1"]) == 2
    assert "settings are for --base" in capsys.readouterr().err
