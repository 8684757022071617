"""Tiny random models of real families, and batches for them, for tests that need a model but no knowledge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import (
    GemmaConfig,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    MixtralConfig,
    Phi3Config,
    PhiConfig,
    Qwen2Config,
    Qwen2MoeConfig,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
    SwinConfig,
)

from lynx_cl.base.card import BaseCard
from lynx_cl.base.fingerprint import fingerprint
from lynx_cl.base.kernels import use_cpu_kernels
from lynx_cl.base.load import Base

HIDDEN, LAYERS, VOCABULARY, IMAGE_TOKEN, IMAGE_TOKENS, SIDE = 32, 4, 64, 3, 9, 24

_SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_EXPERTS: dict[str, Any] = {
    "moe_intermediate_size": 24,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "norm_topk_prob": True,
}


TEXTS: dict[str, Any] = {
    "llama": lambda: LlamaConfig(**_SIZES),
    "qwen2": lambda: Qwen2Config(**_SIZES),
    "phi": lambda: PhiConfig(**_SIZES),
    "phi3": lambda: Phi3Config(**_SIZES),
    "gemma": lambda: GemmaConfig(**_SIZES, head_dim=16),
    "mixtral": lambda: MixtralConfig(**_SIZES, num_local_experts=4, num_experts_per_tok=2),
    "qwen2_moe": lambda: Qwen2MoeConfig(**_SIZES, **_EXPERTS, shared_expert_intermediate_size=40),
    "qwen3_moe": lambda: Qwen3MoeConfig(**_SIZES, **_EXPERTS, head_dim=16, decoder_sparse_step=2),  # layers 1 and 3
}


def tiny_llava(family: str = "qwen3_moe", seed: int = 0) -> LlavaForConditionalGeneration:
    """A LLaVA with a Swin tower of 9 image tokens a picture of 24 x 24 pixels, frozen."""
    vision = SwinConfig(image_size=SIDE, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[1, 2], window_size=3)
    config = LlavaConfig(
        vision_config=vision,
        text_config=TEXTS[family](),
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
        image_token_index=IMAGE_TOKEN,
        image_seq_length=IMAGE_TOKENS,
    )
    torch.manual_seed(seed)
    model = LlavaForConditionalGeneration(config)
    with torch.no_grad():  # larger than transformers' 0.02, so that a tiny model's outputs differ clearly
        for parameter in model.model.language_model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(5)
        model.lm_head.weight.mul_(10)
    model.requires_grad_(False).eval()
    use_cpu_kernels(model)
    return model


def tiny_causal(family: str = "llama") -> Any:
    """A text-only causal language model."""
    torch.manual_seed(0)
    kind = Qwen3MoeForCausalLM if family == "qwen3_moe" else LlamaForCausalLM
    return kind(TEXTS[family]()).requires_grad_(False).eval()


def tiny_base(family: str = "qwen3_moe") -> Base:
    """A tiny LLaVA as a Base without a processor."""
    model = tiny_llava(family)
    return Base("tiny", None, model, None, BaseCard(name="tiny"), fingerprint(model))


@dataclass(frozen=True)
class Batch:
    """What the trainer reads of a batch."""

    input_ids: Tensor
    attention_mask: Tensor
    pixel_values: Tensor
    labels: Tensor
    step_ids: Tensor
    step_weights: Tensor
    position_ids: Tensor | None = None
    step_names: tuple[str, ...] = ("where", "answer")


def tiny_inputs(rows: int, tokens: int = 8, seed: int = 0) -> dict[str, Tensor]:
    """Random pictures and prompts: input_ids (rows, 9 + tokens), attention_mask, pixel_values."""
    generator = torch.Generator().manual_seed(seed)
    words = torch.randint(4, VOCABULARY, (rows, tokens), generator=generator)
    ids = torch.cat([torch.full((rows, IMAGE_TOKENS), IMAGE_TOKEN), words], 1)
    pixels = torch.randn(rows, 3, SIDE, SIDE, generator=generator)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": pixels}


def tiny_batch(rows: int = 4, seed: int = 0) -> Batch:
    """A batch with answers in two steps that a bank can learn: `7 8` after four words, then `9` after one more."""
    inputs = tiny_inputs(rows, 8, seed)
    ids = inputs["input_ids"]
    labels, steps = torch.full_like(ids, -100), torch.full_like(ids, -1)
    for step, first, answer in ((0, IMAGE_TOKENS + 4, [7, 8]), (1, IMAGE_TOKENS + 7, [9])):
        place = slice(first, first + len(answer))
        ids[:, place] = labels[:, place] = torch.tensor(answer)
        steps[:, place] = step
    return Batch(labels=labels, step_ids=steps, step_weights=torch.ones(rows, 2), **inputs)
