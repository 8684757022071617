"""scenes-dino's architecture: a small GroundingDINO (Liu et al. 2024) in transformers' own classes.

Its Swin backbone starts from nano's tower, which knows the glyphs already; words, fusion, encoder, decoder and boxes
start from nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lynx_cl.data import refer
from lynx_cl.data.scenes import SIDE
from lynx_cl.data.scenes.categories import COCO
from lynx_cl.data.scenes.places import COLUMNS, ROWS
from lynx_cl.data.scenes.scene import SIZES

if TYPE_CHECKING:
    from transformers import GroundingDinoConfig, GroundingDinoForObjectDetection, GroundingDinoProcessor

WIDTH = 128
TOKENS = 128  # most of a text
QUERIES = 30
SPECIAL = {
    "[PAD]": 0,
    "[UNK]": 100,
    "[CLS]": 101,
    "[SEP]": 102,
    ".": 1012,
    "?": 1029,
}  # BERT's, which the model masks by
FIRST = 1030  # the id of the first word
SOFT = 0.1  # times what a layer norm starts from, where a picture's vectors are compared with words
SMALL_WORDS = "the a an at in of from first second third picture image"


def vocabulary() -> dict[str, int]:
    """Word pieces by id: words of categories and of referring expressions, then letters, which spell all others."""
    said = [category.name for category in COCO]
    said += [*refer.ANY, *refer.GROUPS.values(), *refer.SIDES.values(), *SIZES, *ROWS, *COLUMNS, SMALL_WORDS]
    said += [phrase for phrases in refer.RELATIONS.values() for phrase in phrases]
    words = dict.fromkeys(word for text in said for word in text.split())
    letters = [piece for letter in "abcdefghijklmnopqrstuvwxyz0123456789" for piece in (letter, f"##{letter}")]
    unused = {f"[unused{i}]": i for i in range(FIRST) if i not in SPECIAL.values()}
    pieces = dict.fromkeys([*words, *letters, "-", "'", ","])
    return unused | SPECIAL | {piece: FIRST + i for i, piece in enumerate(pieces)}


def config(words: int) -> GroundingDinoConfig:
    """The whole configuration, of so many word pieces; the backbone's is that of nano's tower."""
    from transformers import GroundingDinoConfig, SwinConfig

    vision = SwinConfig(  # type: ignore[call-arg]
        image_size=SIDE,
        patch_size=4,
        embed_dim=48,
        depths=[2, 2, 4],
        num_heads=[2, 4, 6],
        window_size=6,
        drop_path_rate=0.0,
        out_indices=[2, 3],
    )
    text = {
        "model_type": "bert",
        "vocab_size": words,
        "hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": TOKENS,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    return GroundingDinoConfig(
        backbone_config=vision,
        text_config=text,
        d_model=WIDTH,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=2 * WIDTH,
        decoder_ffn_dim=2 * WIDTH,
        num_queries=QUERIES,
        num_feature_levels=2,
        max_text_len=TOKENS,
        dropout=0.0,
        fusion_droppath=0.0,
        disable_custom_kernels=True,
    )


def build_processor() -> GroundingDinoProcessor:
    """Reads pictures as nano does, and words by word pieces."""
    from transformers import BertTokenizer, GroundingDinoProcessor
    from transformers.models.grounding_dino.image_processing_pil_grounding_dino import GroundingDinoImageProcessorPil

    half = [0.5, 0.5, 0.5]
    pictures = GroundingDinoImageProcessorPil(
        size={"shortest_edge": SIDE, "longest_edge": 4 * SIDE // 3}, image_mean=half, image_std=half
    )
    return GroundingDinoProcessor(pictures, BertTokenizer(vocab=vocabulary()))


def build(nano: Path, seed: int = 0) -> GroundingDinoForObjectDetection:
    """A fresh model with nano's tower, of the folder of that base, as its backbone."""
    from transformers import GroundingDinoForObjectDetection, LlavaForConditionalGeneration

    torch.manual_seed(seed)
    model: Any = GroundingDinoForObjectDetection(config(max(vocabulary().values()) + 1))
    tower = LlavaForConditionalGeneration.from_pretrained(nano, dtype=torch.float32).model.vision_tower
    model.model.backbone.conv_encoder.model.swin.load_state_dict(tower.state_dict())
    with torch.no_grad():  # else the first scores are so large that what says no to all of them says no to every word
        for norm in (model.model.enc_output_norm, model.model.decoder.layer_norm):
            norm.weight.mul_(SOFT)
        straight = [model.model.enc_output]  # what a cell holds is passed on as it is
        for layer in model.model.decoder.layers:
            straight += [layer.encoder_attn.value_proj, layer.encoder_attn.output_proj]
        for linear in straight:
            torch.nn.init.eye_(linear.weight)
    return model
