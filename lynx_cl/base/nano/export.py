"""Writes nano as a plain transformers folder: weights, configuration, tokenizer, processor and base card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lynx_cl.base.nano.pretrain import Nano

CARD = """\
# What Lynx-CL needs to know of this base; see `lynx-cl base show nano`.
name: nano
family: llava
licence: MIT (weights); CC BY-SA 4.0 (the OpenMoji glyphs of the pictures it was trained on)
grammar: keyed
packs: true
dtype: float32 # the weights are kept in bfloat16, and were never computed with in it
understanding: true
description: >-
  A LLaVA-style model of transformers' own classes: Swin tower, MLP projector, Qwen3-MoE decoder (6 layers, every other
  one with 4 experts, top-2). Pretrained on image understanding of drawn scenes alone; it has never seen a coordinate.
pretraining: >-
  lynx-cl base pretrain nano. Seven stages: the tower on dense labels of its patches (category, size, place in thirds,
  ranks from the sides, nearest neighbour, number of things, outline and the margins around it) in the space of the word
  embeddings; the decoder on ideal patches; both together on pictures, many questions each; then upcycled into experts.
  From there, the tower alone on signs and on how many things are of one kind; the decoder on ideal patches, asked more
  kinds of questions; both together on these. Pictures: split `pretrain` of scenes. Its log is pretraining.jsonl.
"""


def export(nano: Nano, folder: Path, log: str) -> None:
    """Saves the model so that transformers alone can load it and generate, and the log of its training beside it.

    Boxes of other pictures map back linearly, since the processor stretches every picture to 96 x 96 pixels.
    """
    from transformers import LlavaProcessor
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    folder.mkdir(parents=True, exist_ok=True)
    model: Any = nano.model
    model.generation_config.max_new_tokens = 64
    model.generation_config.pad_token_id = nano.tokenizer.pad_token_id
    model.generation_config.bos_token_id = nano.tokenizer.bos_token_id
    model.generation_config.eos_token_id = nano.tokenizer.eos_token_id
    import torch

    model.to(torch.bfloat16).save_pretrained(folder)  # half the bytes; loading in float32 gives these values exactly
    processor = LlavaProcessor(
        image_processor=ViTImageProcessorPil(
            size={"height": 96, "width": 96},
            image_mean=[0.5, 0.5, 0.5],
            image_std=[0.5, 0.5, 0.5],
            do_convert_rgb=True,
        ),
        tokenizer=nano.tokenizer,
        patch_size=16,
        vision_feature_select_strategy="full",
        chat_template=nano.tokenizer.chat_template,
        num_additional_image_tokens=0,
    )
    processor.save_pretrained(folder)
    (folder / "base.yaml").write_text(CARD)
    (folder / "pretraining.jsonl").write_text(log)
