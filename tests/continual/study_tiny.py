"""A tiny base on disk that reads drawn scenes, and studies of it that take seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import yaml
from transformers import LlavaConfig, LlavaForConditionalGeneration, Qwen3MoeConfig, SwinConfig

from lynx_cl.continual.comparison import cell_tables
from lynx_cl.continual.results import StudyFolder
from tests.data.folders import processor

TASKS = {"counting": {"data": "scenes"}, "grounding": {"data": "scout"}}
SHORT: dict[str, Any] = {
    "budget": {"pictures": 8, "steps": 2, "pictures_per_batch": 2, "validation": 2},
    "evaluation": {"examples": 4, "understanding": 12},
}


def write_base(folder: Path) -> Path:
    """A random LLaVA of two decoder layers, one of them a sparse mixture, with nano's chat template."""
    reader = processor()
    ids = reader.tokenizer.convert_tokens_to_ids
    text = Qwen3MoeConfig(
        vocab_size=len(reader.tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=16,
        intermediate_size=48,
        moe_intermediate_size=24,
        num_experts=4,
        num_experts_per_tok=2,
        decoder_sparse_step=2,
        max_position_embeddings=512,
        pad_token_id=reader.tokenizer.pad_token_id,
        bos_token_id=reader.tokenizer.bos_token_id,
        eos_token_id=ids("<|end|>"),
    )
    vision = SwinConfig(image_size=96, patch_size=8, embed_dim=8, depths=[1, 1], num_heads=[1, 2], window_size=3)
    torch.manual_seed(0)
    model = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=vision,
            text_config=text,
            vision_feature_select_strategy="full",
            vision_feature_layer=-1,
            image_token_index=ids(reader.image_token),
            image_seq_length=36,
        )
    )
    with torch.no_grad():
        model.lm_head.weight.mul_(20)
    model.generation_config.eos_token_id = ids("<|end|>")
    model.save_pretrained(folder)
    reader.save_pretrained(folder)
    (folder / "base.yaml").write_text("name: tiny\npacks: true\n")
    return folder


def curves(folder: StudyFolder) -> list[float]:
    """The scores of validation answers of every cell and stage: they tell weights apart that answer alike."""
    return [score for table in cell_tables(folder) for stage in table.stages for _, score in stage.curve]


def write_study(path: Path, base: Path, methods: dict[str, Any], **more: Any) -> Path:
    """A short study of counting and grounding as a YAML file."""
    told = {"name": path.stem, "base": str(base), "tasks": TASKS, "methods": methods, **SHORT, **more}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(told, sort_keys=False))
    return path
