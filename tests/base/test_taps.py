"""Taps are found by structure or pattern, end at the last layer, and are never fewer than asked for in silence."""

from __future__ import annotations

import pytest
from torch import nn
from transformers import AutoModelForCausalLM, GPTNeoXConfig, MptConfig, OPTConfig

from lynx_cl.base.taps import Tap, attention_projections, find_taps
from lynx_cl.errors import LynxError, UsageError
from tests.families.tiny import tiny_causal, tiny_llava

PREFIX = "model.language_model.layers"


def test_llava_with_sparse_text() -> None:
    model = tiny_llava("qwen3_moe")
    assert find_taps(model) == [Tap(f"{PREFIX}.{i}.mlp", i, 32, 24, True) for i in (1, 3)]
    assert [(t.layer, t.intermediate, t.sparse) for t in find_taps(model, every=1)] == [
        (0, 48, False),
        (1, 24, True),
        (2, 48, False),
        (3, 24, True),
    ]
    assert [t.layer for t in find_taps(model, every=3)] == [0, 3]


@pytest.mark.parametrize("family", ["llama", "phi", "phi3"])
def test_llava_with_dense_text(family: str) -> None:
    assert find_taps(tiny_llava(family)) == [Tap(f"{PREFIX}.{i}.mlp", i, 32, 48, False) for i in (1, 3)]


@pytest.mark.parametrize(("family", "width"), [("llama", 48), ("qwen3_moe", 24)])
def test_text_only(family: str, width: int) -> None:
    expected = [Tap(f"model.layers.{i}.mlp", i, 32, width, family == "qwen3_moe") for i in (1, 3)]
    assert find_taps(tiny_causal(family)) == expected


def test_a_pattern() -> None:
    model = tiny_llava("llama")
    assert find_taps(model, pattern=f"{PREFIX}.*.mlp") == find_taps(model)
    for pattern, message in [
        (f"{PREFIX}.*.ffn", "matches no module of LlavaForConditionalGeneration"),
        (f"{PREFIX}.1.mlp", "needs exactly one"),
    ]:
        with pytest.raises(LynxError, match=message):
            find_taps(model, pattern=pattern)
    del model.model.language_model.layers[2].mlp
    with pytest.raises(LynxError, match="matches 3 of 4 layers; not 2"):
        find_taps(model, pattern=f"{PREFIX}.*.mlp")
    with pytest.raises(
        LynxError, match="in 1 of 4 layers of model.language_model.layers .layers 2.; name them by `taps:`"
    ):
        find_taps(model)


def test_no_decoder_and_no_step() -> None:
    with pytest.raises(LynxError, match="no decoder layers found; name them by `taps:`"):
        find_taps(nn.Linear(2, 2))
    with pytest.raises(UsageError, match="every = 0"):
        find_taps(tiny_causal(), every=0)


def test_attention_projections() -> None:
    model = tiny_llava("llama")
    names = [f"{PREFIX}.2.self_attn.{name}" for name in ("q_proj", "k_proj", "v_proj", "o_proj")]
    assert attention_projections(model, [2]) == names
    assert len(attention_projections(model)) == 16
    assert attention_projections(tiny_llava("phi3"), [0]) == [
        f"{PREFIX}.0.self_attn.{n}" for n in ("o_proj", "qkv_proj")
    ]


SIZES = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 48}


def test_families_of_other_names_are_found_by_structure() -> None:
    neox = AutoModelForCausalLM.from_config(GPTNeoXConfig(**SIZES))
    assert find_taps(neox, 1) == [Tap(f"gpt_neox.layers.{i}.mlp", i, 32, 48, False) for i in range(3)]
    mpt = AutoModelForCausalLM.from_config(MptConfig(vocab_size=64, d_model=32, n_layers=3, n_heads=2))
    assert [tap.name for tap in find_taps(mpt, 1)] == [f"transformer.blocks.{i}.ffn" for i in range(3)]
    assert find_taps(mpt, 1)[0].intermediate == 128
    flat = OPTConfig(**{k: v for k, v in SIZES.items() if k != "intermediate_size"}, ffn_dim=48, word_embed_proj_dim=32)
    with pytest.raises(
        LynxError, match="no feed-forward network found in 3 of 3 layers.*`taps:` in the base card .lynx-cl"
    ):
        find_taps(AutoModelForCausalLM.from_config(flat))
