"""Banks go to PEFT and come from it with the same logits, and what cannot is refused with the reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

from lynx_cl.banks.attach import attach
from lynx_cl.banks.base import Bank, bank_bytes, build_bank, load_bank
from lynx_cl.banks.peft_format import export_adapter, import_adapter
from lynx_cl.base.load import Base, load_base
from lynx_cl.base.taps import decoder_layers, find_taps
from lynx_cl.cli.main import main
from lynx_cl.errors import LynxError, UsageError
from tests.banks.test_attach import disturbed
from tests.families.test_families import asked, logits
from tests.families.zoo import FAMILIES, save_family

DENSE = [name for name, family in FAMILIES.items() if not family.sparse]
SOME = ["llava", "qwen2_5_vl", "gemma3", "mllama", "smolvlm", "llama"]
TABLE = [pytest.param(name, marks=() if name in SOME else pytest.mark.slow) for name in DENSE]
EQUAL = {"atol": 1e-5, "rtol": 0}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Base]:
    @cache
    def load(name: str) -> Base:
        return load_base(str(save_family(name, tmp_path_factory.mktemp(name))))

    return load


def plain(base: Base) -> Any:
    kind = AutoModelForImageTextToText if base.reads_pictures else AutoModelForCausalLM
    return kind.from_pretrained(base.path).eval()


def by_bank(base: Base, bank: Bank, inputs: dict[str, Tensor]) -> Tensor:
    with attach(base.model, bank.taps) as attachment:
        attachment.add("bank", bank)
        with attachment.bank("bank"):
            return logits(base, inputs)


def lora(base: Base, **config: Any) -> Bank:
    settings = {"experts": 1, "rank": 4, "attention": True, **config}
    return disturbed(build_bank("lora", find_taps(base.model), base.model, settings, 0))


@pytest.mark.parametrize("name", TABLE)
def test_a_bank_under_plain_peft(loaded: Callable[[str], Base], name: str, tmp_path: Path) -> None:
    base = loaded(name)
    bank = lora(base, scale=1.5)
    inputs = asked(base, 2)
    export_adapter("lora", bank.bank_config(), bank.state(), tmp_path / "adapter", str(base.path))
    with torch.no_grad():
        under_peft = PeftModel.from_pretrained(plain(base), tmp_path / "adapter").eval()(**inputs).logits
    ours = by_bank(base, bank, inputs)
    assert not torch.allclose(ours, logits(base, inputs), atol=1e-2)
    torch.testing.assert_close(under_peft, ours, **EQUAL)
    again = import_adapter(base.model, tmp_path / "adapter")
    assert torch.equal(by_bank(base, again, inputs), ours)


@pytest.mark.parametrize("name", TABLE)
def test_an_adapter_as_a_bank(loaded: Callable[[str], Base], name: str, tmp_path: Path) -> None:
    base = loaded(name)
    prefix = decoder_layers(base.model)[0].replace(".", r"\.")
    config = LoraConfig(
        r=4,
        lora_alpha=12,
        target_modules=rf".*{prefix}\.\d+\.(self_attn\.q_proj|mlp\.down_proj)",
        rank_pattern={"down_proj": 2},
        alpha_pattern={r"layers\.3\.mlp\.down_proj": 3},
        use_rslora=name == "llava",
    )
    torch.manual_seed(0)
    adapted = get_peft_model(plain(base), config).eval()
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.normal_(std=0.1)
        inputs = asked(base, 2)
        expected = adapted(**inputs).logits
    adapted.save_pretrained(tmp_path)
    bank = import_adapter(base.model, tmp_path)
    assert not torch.allclose(expected, logits(base, inputs), atol=1e-2)
    torch.testing.assert_close(by_bank(base, bank, inputs), expected, **EQUAL)
    manifest = type("M", (), {"kind": "lora", "bank_config": bank.bank_config(), "base": base.fingerprint})
    stored = load_bank(manifest, bank_bytes(bank), base)  # type: ignore[arg-type]
    assert torch.equal(by_bank(base, stored, inputs), by_bank(base, bank, inputs))
    assert sum(bank.parameters_per_tap().values()) == sum(p.numel() for p in bank.parameters())


def test_what_peft_cannot_express(loaded: Callable[[str], Base], tmp_path: Path) -> None:
    dense, sparse = loaded("llama"), loaded("qwen3_vl_moe")
    for kind, bank, reason in (
        ("twin", build_bank("twin", find_taps(dense.model), dense.model, {}, 0), "a twin bank cannot go to PEFT"),
        ("lora", lora(dense, experts=2), "mixes 2 experts by a gate"),
        ("lora", lora(sparse), r"beside the sparse mixture model.language_model.layers.1.mlp"),
    ):
        with pytest.raises(LynxError, match=reason):
            export_adapter(kind, bank.bank_config(), bank.state(), tmp_path / "adapter", "x")
    assert not (tmp_path / "adapter").exists()
    (tmp_path / "mine").write_text("")
    with pytest.raises(UsageError, match="not empty"):
        export_adapter("lora", lora(dense).bank_config(), lora(dense).state(), tmp_path, "x")


def saved(base: Base, folder: Path, **config: Any) -> Path:
    get_peft_model(plain(base), LoraConfig(r=2, **config)).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (
            {"target_modules": ["q_proj"]},
            r"acts on .*vision_tower.*, outside the decoder's layers .model.language_model",
        ),
        ({"target_modules": ["embed_tokens"]}, "embed_tokens.* is no low-rank matrix of a linear layer"),
        ({"target_modules": ["up_proj"], "use_dora": True}, "its use_dora is True"),
        ({"target_modules": ["up_proj"], "bias": "lora_only"}, "its bias is 'lora_only'"),
        ({"target_modules": ["up_proj"], "modules_to_save": ["lm_head"]}, "its modules_to_save is"),
    ],
)
def test_adapters_that_are_no_bank(loaded: Callable[[str], Base], config: dict, reason: str, tmp_path: Path) -> None:
    base = loaded("llava")
    with pytest.raises(LynxError, match=reason):
        import_adapter(base.model, saved(base, tmp_path, **config))


def test_adapters_that_do_not_fit(loaded: Callable[[str], Base], tmp_path: Path) -> None:
    base, other = loaded("llama"), loaded("qwen3")
    folder = saved(base, tmp_path / "own", target_modules=["q_proj"])
    import_adapter(base.model, folder)
    from transformers import LlamaConfig

    small = AutoModelForCausalLM.from_config(LlamaConfig(**{**base.model.config.to_dict(), "hidden_size": 16}))
    with pytest.raises(LynxError, match="of model.layers.0.self_attn.q_proj it holds .* it belongs to another model"):
        import_adapter(small, folder)
    few = AutoModelForCausalLM.from_config(LlamaConfig(**{**base.model.config.to_dict(), "num_hidden_layers": 2}))
    with pytest.raises(LynxError, match="which the base does not have; it belongs to another model"):
        import_adapter(few, folder)
    config = folder / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "peft_type": "IA3"}))
    with pytest.raises(LynxError, match="of the method IA3; only LORA"):
        import_adapter(other.model, folder)
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(LynxError, match="no adapter_model.safetensors; give a folder"):
        import_adapter(other.model, folder)


def test_names_of_another_release_are_placed(loaded: Callable[[str], Base], tmp_path: Path) -> None:
    """LLaVA's decoder was `language_model.model.layers` before transformers 4.52."""
    from safetensors.torch import load_file, save_file

    base = loaded("llava")
    folder = saved(base, tmp_path, target_modules=r".*language_model\.layers\.\d\.mlp\.up_proj")
    weights = folder / "adapter_model.safetensors"
    tensors = load_file(weights)
    old = {k.replace("model.language_model.layers", "language_model.model.layers"): v for k, v in tensors.items()}
    assert old.keys() != tensors.keys()
    save_file(old, weights)
    bank = import_adapter(base.model, folder)
    assert bank.sites[0] == "model.language_model.layers.0.mlp.up_proj"


@pytest.mark.slow
def test_the_round_trip_on_the_command_line(
    loaded: Callable[[str], Base], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = loaded("llava")
    adapter = saved(base, tmp_path / "adapter", target_modules=r".*language_model.*\.(up_proj|q_proj)")
    home = ["--home", str(tmp_path / "home")]
    small = ["data.limit=6", "evaluation.examples=2", "evaluation.understanding=12", "router.prompts=30"]
    add = ["add-task", "grounding", "--data", "scout", "--base", str(base.path), "--adapter", str(adapter)]
    assert main([*add, *home, *small, "--json"]) == 0
    capsys.readouterr()
    assert main(["registry", "export", "grounding", str(tmp_path / "out"), "--peft", *home, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["base"] == str(base.path)
    inputs = asked(base, 2)
    with torch.no_grad():
        first = PeftModel.from_pretrained(plain(base), adapter).eval()(**inputs).logits
        second = PeftModel.from_pretrained(plain(base), tmp_path / "out").eval()(**inputs).logits
    torch.testing.assert_close(first, second, **EQUAL)
    home = ["--home", str(tmp_path / "other")]
    assert main([*add, "--bank", "twin", *home]) == 2
    assert "--adapter gives a lora bank" in capsys.readouterr().err
    assert main(["add-task", "grounding", "--data", "scout", "--adapter", str(tmp_path), *home]) == 2
    assert "no adapter_config.json" in capsys.readouterr().err
