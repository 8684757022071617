"""Tiny random detectors, saved by transformers itself: they find something, at the same place for the same question."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    BertTokenizer,
    CLIPTokenizer,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoProcessor,
    Owlv2Config,
    Owlv2ForObjectDetection,
    Owlv2Processor,
    SwinConfig,
)
from transformers.models.grounding_dino.image_processing_pil_grounding_dino import GroundingDinoImageProcessorPil
from transformers.models.owlv2.image_processing_pil_owlv2 import Owlv2ImageProcessorPil

WORDS = ("dog", "cat", "red", "car", "small", "left", "of", "the", "a")
SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}


def owlv2(folder: Path, seed: int = 0) -> Path:
    """OWLv2: pads a picture to a square before it looks."""
    vocabulary = ["!", "<|startoftext|>", "<|endoftext|>", *"abcdefghijklmnopqrstuvwxyz."]
    vocabulary += [f"{letter}</w>" for letter in vocabulary[3:]]
    tokenizer = CLIPTokenizer(vocab={word: i for i, word in enumerate(vocabulary)}, merges=[])
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    config = Owlv2Config(
        text_config={**SMALL, "vocab_size": len(vocabulary), "max_position_embeddings": 16, **ids},
        vision_config={**SMALL, "image_size": 32, "patch_size": 8},
        projection_dim=16,
    )
    torch.manual_seed(seed)
    model = Owlv2ForObjectDetection(config)
    processor = Owlv2Processor(Owlv2ImageProcessorPil(size={"height": 32, "width": 32}), tokenizer)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def grounding_dino(folder: Path, seed: int = 0) -> Path:
    """GroundingDINO: keeps a picture's shape; the ids of its special tokens are those of BERT."""
    words = {f"[unused{i}]": i for i in range(1050)}
    special = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, ".": 1012, "?": 1029}
    words = {word: i for word, i in words.items() if i not in special.values()}
    words |= special | {word: 1050 + i for i, word in enumerate(WORDS)}
    tokenizer = BertTokenizer(vocab=words)
    config = GroundingDinoConfig(
        backbone_config=SwinConfig(
            image_size=64, embed_dim=8, depths=[1] * 4, num_heads=[1, 1, 2, 2], window_size=4, out_indices=[2, 3, 4]
        ),
        text_config={"model_type": "bert", "vocab_size": 1100, "max_position_embeddings": 64, **SMALL},
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        num_queries=10,
        num_feature_levels=3,
        max_text_len=32,
        disable_custom_kernels=True,
    )
    torch.manual_seed(seed)
    model = GroundingDinoForObjectDetection(config)
    processor = GroundingDinoProcessor(
        GroundingDinoImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 96}), tokenizer
    )
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


DETECTORS = {"grounding_dino": grounding_dino, "owlv2": owlv2}
