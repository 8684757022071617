"""The CPU paths compute what transformers computes, and a row's bits do not depend on its neighbours."""

from __future__ import annotations

import copy

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lynx_cl.base.kernels import ATTENTION, EXPERTS, float32_attention
from tests.families.tiny import tiny_inputs, tiny_llava


def with_paths(experts: str, attention: str) -> nn.Module:
    model = tiny_llava()
    model.get_decoder().set_experts_implementation(experts)
    model.get_decoder().set_attn_implementation(attention)
    return model


def test_they_are_set() -> None:
    config = tiny_llava().get_decoder().config
    assert (config._experts_implementation, config._attn_implementation) == (EXPERTS, ATTENTION)


def test_same_logits_as_transformers() -> None:
    inputs = tiny_inputs(4, 8)
    mask = inputs["attention_mask"]
    mask[0, -3:] = 0
    ours = tiny_llava()(**inputs).logits
    assert torch.equal(with_paths(EXPERTS, "sdpa")(**inputs).logits, ours)
    for experts, attention in [("eager", "sdpa"), ("grouped_mm", "eager")]:
        theirs = with_paths(experts, attention)(**inputs).logits
        torch.testing.assert_close(theirs[mask == 1], ours[mask == 1], atol=1e-4, rtol=1e-4)


def test_same_gradients_as_transformers() -> None:
    def gradients(implementation: str) -> list[Tensor]:
        model = with_paths(implementation, ATTENTION)
        block = model.get_submodule("model.language_model.layers.1.mlp").requires_grad_(True)
        x = torch.randn(2, 9, 32, generator=torch.Generator().manual_seed(1)).requires_grad_(True)
        block(x).square().sum().backward()
        return [x.grad, *[p.grad for p in block.parameters()]]  # type: ignore[list-item]

    torch.testing.assert_close(gradients(EXPERTS), gradients("eager"), atol=1e-5, rtol=1e-4)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 90), st.integers(0, 1000), st.sampled_from([torch.float32, torch.bfloat16]))
def test_a_rows_bits_do_not_depend_on_its_neighbours(tokens: int, seed: int, dtype: torch.dtype) -> None:
    block = BLOCK.to(dtype)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(1, tokens, 32, generator=generator).to(dtype)
    other = x.clone()
    other[:, 1::2] = torch.randn(1, tokens // 2, 32, generator=generator).to(dtype)
    assert torch.equal(block(x)[:, ::2], block(other)[:, ::2])


def test_attention_stays_in_fp32_under_autocast() -> None:
    query, key, value = (torch.randn(1, 2, 5, 16, dtype=torch.bfloat16) for _ in range(3))
    module = tiny_llava().get_submodule("model.language_model.layers.0.self_attn")
    plain, _ = float32_attention(module, query.float(), key.float(), value.float(), None)
    with torch.autocast("cpu", torch.bfloat16):
        out, _ = float32_attention(module, query, key, value, None)
    assert out.dtype == torch.bfloat16
    assert torch.equal(out, plain.bfloat16())


BLOCK = copy.deepcopy(tiny_llava().get_submodule("model.language_model.layers.1.mlp"))
