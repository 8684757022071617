"""nano's architecture, in transformers' own classes: Swin tower, LLaVA projector, Qwen3-MoE decoder.

The decoder starts dense; `upcycle` then copies each other layer's feed-forward network into four experts, as
MoE-LLaVA does (Lin et al. 2024), and training goes on with sparse layers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lynx_cl.base.nano.tokenizer import number_ids
from lynx_cl.data.scenes.categories import COCO

if TYPE_CHECKING:
    from transformers import LlavaConfig, LlavaForConditionalGeneration, PreTrainedTokenizerFast

HIDDEN, LAYERS, HEADS, HEAD_DIM = 192, 6, 6, 32
EXPERTS = 4
GRID = 6  # visual tokens a side: 96 pixels / 16
ROPE_THETA = 1_000_000.0
MATCHING_LAYERS = (0, 1)
MATCHING_HEADS = (0, 1, 2)
SIDE_WEIGHT = 0.5
MATCH_GAIN = 2.0


def config(tokenizer: PreTrainedTokenizerFast, sparse: bool) -> LlavaConfig:
    """The whole configuration. `sparse`: every other decoder layer is a mixture of experts."""
    from transformers import LlavaConfig, Qwen3MoeConfig, SwinConfig

    vision = SwinConfig(
        image_size=96,
        patch_size=4,
        embed_dim=48,
        depths=[2, 2, 4],
        num_heads=[2, 4, 6],
        window_size=6,
        drop_path_rate=0.0,
    )
    text = Qwen3MoeConfig(  # type: ignore[call-arg]
        vocab_size=len(tokenizer),
        hidden_size=HIDDEN,
        intermediate_size=2 * HIDDEN,
        moe_intermediate_size=2 * HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        head_dim=HEAD_DIM,
        num_experts=EXPERTS,
        num_experts_per_tok=2,
        norm_topk_prob=True,
        decoder_sparse_step=2,
        mlp_only_layers=[] if sparse else list(range(LAYERS)),
        router_aux_loss_coef=0.01,
        max_position_embeddings=1024,
        initializer_range=0.04,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=int(tokenizer.convert_tokens_to_ids("<image>")),  # type: ignore[arg-type]
        image_seq_length=GRID * GRID,
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
        projector_hidden_act="gelu",
        tie_word_embeddings=True,
    )


def build(tokenizer: PreTrainedTokenizerFast, seed: int = 0) -> LlavaForConditionalGeneration:
    """A fresh dense nano with its starting point laid: word vectors, and heads in which like finds like."""
    from transformers import LlavaForConditionalGeneration

    torch.manual_seed(seed)
    model: Any = LlavaForConditionalGeneration(config(tokenizer, sparse=False))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        side = torch.zeros(HIDDEN)
        side[0] = 1.0  # the direction that tells words (+) from patches (-)
        words = model.get_input_embeddings().weight
        words.copy_(word_vectors(words.shape[0], number_ids(tokenizer), generator) + 0.4 * side)
        model.model.multi_modal_projector.linear_2.bias.copy_(-0.6 * side)
        things = [tokenizer.encode(f" {c.name}", add_special_tokens=False) for c in COCO]
        names = torch.stack([words[ids].sum(0) / len(ids) ** 0.5 for ids in things])
        for index in MATCHING_LAYERS:
            _let_like_find_like(model.model.language_model.layers[index].self_attn, names, side, generator)
    return model


def word_vectors(count: int, numbers: dict[int, list[int]], generator: torch.Generator) -> Tensor:
    """Random directions of norm about 1, (count, HIDDEN); numbers lie on a smooth curve, so that near numbers start
    near each other."""
    vectors = torch.randn(count, HIDDEN, generator=generator) / math.sqrt(HIDDEN)
    vectors[:, 0] = 0.0
    waves = torch.randn(8, HIDDEN, generator=generator) / math.sqrt(HIDDEN)
    waves[:, 0] = 0.0
    for number, ids in numbers.items():
        angle = math.pi * number / 100
        curve = [math.cos(angle), math.sin(angle), math.cos(2 * angle), math.sin(2 * angle)]
        curve += [math.cos(4 * angle), math.sin(4 * angle), math.cos(8 * angle), math.sin(8 * angle)]
        for token in ids:
            vectors[token] = 0.5 * vectors[token] + 0.45 * (torch.tensor(curve)[:, None] * waves).sum(0)
    return vectors


def _let_like_find_like(attention: Any, names: Tensor, side: Tensor, generator: torch.Generator) -> None:
    """Starts some heads at query = key (mimetic initialisation, Trockman & Kolter 2023), words looking at patches.

    They compare what lies in the span of `names` (categories, hidden), in the head dimensions that rotary positions
    turn slowly; the slowest pair carries the word-or-patch direction `side` with opposite signs in query and key.
    """
    half = HEAD_DIM // 2
    slow = [i for i in range(half) if ROPE_THETA ** (-i / half) < 0.015]
    dims = [*slow[:-1], *(half + i for i in slow[:-1])]
    centred = names.clone()
    centred[:, 0] = 0.0
    span = torch.linalg.qr(centred.T)[0]  # (hidden, categories)
    for head in MATCHING_HEADS:
        rows = slice(head * HEAD_DIM, (head + 1) * HEAD_DIM)
        look = torch.zeros(HEAD_DIM, HIDDEN)
        look[dims] = torch.linalg.qr(span @ torch.randn(span.shape[1], len(dims), generator=generator))[0].T
        carry = torch.linalg.qr(torch.randn(HIDDEN, HEAD_DIM, generator=generator))[0].T
        query, key = look.clone(), look.clone()
        for dim in (half - 1, HEAD_DIM - 1):
            query[dim], key[dim] = SIDE_WEIGHT * side, -SIDE_WEIGHT * side
        attention.q_proj.weight[rows] = query
        attention.k_proj.weight[rows] = key
        attention.v_proj.weight[rows] = carry
        attention.o_proj.weight[:, rows] = 0.5 * carry.T
    attention.q_norm.weight.fill_(MATCH_GAIN)
    attention.k_norm.weight.fill_(MATCH_GAIN)


def upcycle(dense: LlavaForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, seed: int = 0):
    """The sparse nano whose experts are copies of the dense feed-forward networks, slightly perturbed."""
    from transformers import LlavaForConditionalGeneration

    torch.manual_seed(seed)
    model = LlavaForConditionalGeneration(config(tokenizer, sparse=True))
    source = dense.state_dict()
    target = model.state_dict()
    with torch.no_grad():
        for name, value in target.items():
            if name in source:
                value.copy_(source[name])
                continue
            stem = name.split(".mlp.")[0] + ".mlp."
            if name.endswith("experts.gate_up_proj"):
                both = torch.cat([source[stem + "gate_proj.weight"], source[stem + "up_proj.weight"]], 0)
                value.copy_(both[None].expand_as(value) * (1 + 0.02 * torch.randn_like(value)))
            elif name.endswith("experts.down_proj"):
                value.copy_(source[stem + "down_proj.weight"][None].expand_as(value))
            elif not name.endswith("mlp.gate.weight"):
                raise KeyError(f"upcycle: no source for {name}")
    return model
