"""Packed rows: for the model, every turn is a conversation of its own."""

from __future__ import annotations

import torch
from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

from lynx_cl.base.nano.packing import IGNORE, pack_rows


def test_masks_positions_and_labels():
    packed = pack_rows([[1, 9, 9]], [[[([2, 3], [4])], [([5], [6]), ([7], [8])]]], pad_id=0)
    assert packed["input_ids"].tolist() == [[1, 9, 9, 2, 3, 4, 5, 6, 7, 8]]
    assert packed["position_ids"].tolist() == [[0, 1, 2, 3, 4, 5, 3, 4, 5, 6]]
    assert packed["labels"].tolist() == [[IGNORE] * 5 + [4, IGNORE, 6, IGNORE, 8]]
    assert packed["step_ids"].tolist() == [[-1] * 5 + [0, -1, 0, -1, 1]]
    mask = packed["attention_mask"][0, 0]
    assert mask[6].tolist() == [True] * 3 + [False] * 3 + [True] + [False] * 3


def test_logits_equal_those_of_conversations_alone():
    torch.manual_seed(0)
    config = Qwen3MoeConfig(
        vocab_size=32, hidden_size=32, intermediate_size=32, moe_intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, head_dim=16, num_experts=4, num_experts_per_tok=2,
        decoder_sparse_step=2,
    )  # fmt: skip
    model = Qwen3MoeForCausalLM(config).eval()
    prefix, first, second = [1, 2, 3], ([4, 5], [6, 7]), ([8], [9, 10, 11])
    packed = pack_rows([prefix, prefix], [[[first], [second]], [[second]]], pad_id=0)
    keys = ("input_ids", "position_ids", "attention_mask")
    with torch.no_grad():
        together = model(**{key: packed[key] for key in keys}).logits
        for turn, start in ((first, 3), (second, 7)):
            ids = torch.tensor([[*prefix, *turn[0], *turn[1]]])
            alone = model(input_ids=ids).logits[0, len(prefix) :]
            length = len(turn[0]) + len(turn[1])
            torch.testing.assert_close(together[0, start : start + length], alone, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(together[1, 3:7], together[0, 7:11], atol=1e-5, rtol=1e-4)
