"""Loading a base: what is right with a saved one, and one clear line for what is wrong with another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    CLIPImageProcessor,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    ViTConfig,
)

from lynx_cl.base.fingerprint import fingerprint_folder
from lynx_cl.base.load import load_base
from lynx_cl.errors import LynxError, UsageError
from tests.families.tiny import tiny_causal, tiny_inputs, tiny_llava


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny LLaVA with its processor, as save_pretrained leaves it."""
    path = tmp_path_factory.mktemp("bases") / "tiny"
    words = Tokenizer(models.WordLevel({"<pad>": 0, "<s>": 1, "</s>": 2, "<image>": 3, "a": 4}, unk_token="<pad>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", bos_token="<s>", eos_token="</s>", extra_special_tokens=["<image>"]
    )
    images = CLIPImageProcessor(size={"height": 24, "width": 24}, crop_size={"height": 24, "width": 24})
    LlavaProcessor(images, tokenizer, patch_size=8, vision_feature_select_strategy="full").save_pretrained(path)
    tiny_llava().save_pretrained(path)
    return path


def test_a_local_folder(folder: Path) -> None:
    base = load_base(str(folder))
    assert (base.name, base.path, base.fingerprint) == ("tiny", folder, fingerprint_folder(folder))
    assert not any(p.requires_grad for p in base.model.parameters()) and not base.model.training
    assert base.model.dtype == torch.float32
    assert not base.card.packs and base.card.grammar == "keyed"
    inputs = tiny_inputs(5)
    plain = LlavaForConditionalGeneration.from_pretrained(folder).eval()
    torch.testing.assert_close(base.model(**inputs).logits, plain(**inputs).logits, atol=1e-5, rtol=1e-4)
    assert load_base(str(folder), dtype="bfloat16").model.dtype == torch.bfloat16


def test_the_card(folder: Path) -> None:
    card = folder / "base.yaml"
    try:
        card.write_text("name: mini\npacks: true\n")
        base = load_base(str(folder))
        assert (base.name, base.card.packs) == ("mini", True)
        for text, message in [
            ("pack: true\n", "key 'pack' is unknown; known: .*packs"),
            ("packs: maybe\n", "packs = 'maybe': input should be a valid boolean"),
            ("- a\n", "is a mapping"),
            ("a: [\n", "not valid YAML"),
        ]:
            card.write_text(text)
            with pytest.raises(UsageError, match=f"{card}: .*{message}"):
                load_base(str(folder))
    finally:
        card.unlink()


def test_a_shipped_name(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bases").mkdir()
    (tmp_path / "bases" / "mini").symlink_to(folder)
    monkeypatch.setattr("lynx_cl.home.shipped", lambda name: tmp_path)
    assert load_base("mini").name == "mini"
    for name in ("maxi", str(tmp_path / "absent"), "./absent", "a/b/c"):
        with pytest.raises(UsageError, match=f"base '{name}': no such folder, and not a shipped base; known: mini"):
            load_base(name)


def test_what_is_no_base(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(UsageError, match="dtype 'int8' is unknown; known: auto, float32"):
        load_base(str(folder), dtype="int8")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(LynxError, match="no config.json, so no model"):
        load_base(str(empty))
    text = tmp_path / "text"
    tiny_causal().save_pretrained(text)
    with pytest.raises(LynxError, match="tokenizer"):
        load_base(str(text))
    ViTConfig().save_pretrained(tmp_path / "vit")
    (tmp_path / "vit" / "model.safetensors").touch()
    with pytest.raises(LynxError, match="a 'vit' model answers no text; give a vision-language or causal"):
        load_base(str(tmp_path / "vit"))
    (empty / "config.json").write_text("{}")
    with pytest.raises(LynxError, match="names no model_type"):
        load_base(str(empty))
    (empty / "config.json").write_text(json.dumps({"model_type": "llava"}))
    with pytest.raises(LynxError, match=r"no \*.safetensors weights"):
        load_base(str(empty))


def test_a_truncated_weight_file(tmp_path: Path, folder: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(LynxError, match="cannot be loaded"):
        load_base(str(tmp_path))


def test_a_bank_on_a_loaded_base_starts_at_its_bits(folder: Path) -> None:
    """Loaded weights may lie elsewhere in memory than computed ones, and products can depend on that."""
    from lynx_cl.banks.attach import attach
    from lynx_cl.banks.base import build_bank
    from lynx_cl.base.taps import find_taps

    model = load_base(str(folder)).model
    taps = find_taps(model, every=1)
    inputs = tiny_inputs(3)
    plain = model(**inputs).logits
    with attach(model, taps) as attachment:
        attachment.add("new", build_bank("twin", taps, model, {}, 0))
        with attachment.bank("new"):
            assert torch.equal(model(**inputs).logits, plain)
