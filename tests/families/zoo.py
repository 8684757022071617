"""A tiny random model and processor per family, saved as its makers save theirs; a new family is one entry."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

HIDDEN, LAYERS = 32, 4
SPECIAL = (
    *("<pad>", "<s>", "</s>", "<image>", "<video>", "<|im_start|>", "<|im_end|>"),
    *("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>", "<start_of_image>", "<end_of_image>"),
    *("<fake_token_around_image>", "<global-img>", "<row_1_col_1>", "<row_1_col_2>", "<row_2_col_1>", "<row_2_col_2>"),
    *(
        "<end_of_utterance>",
        "<IMG_START>",
        "<IMG_END>",
        "<IMG_ATOM>",
        "<IMG_GRID>",
        "<IMG_COL>",
        "<IMG_ROW>",
        "<IMG_PRE>",
    ),
    *("<IMG_CONTEXT>", "<|image|>", "<|begin_of_image|>", "<|end_of_image|>", "<|begin_of_video|>", "<|end_of_video|>"),
    *("[IMG]", "[IMG_BREAK]", "[IMG_END]", "<|python_tag|>", "<|video|>"),
)
BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
ID = {token: number for number, token in enumerate((*SPECIAL, *BYTES))}
VOCABULARY = 320

TEXT: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 4096,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
EXPERTS = {"moe_intermediate_size": 24, "num_experts": 4, "num_experts_per_tok": 2, "norm_topk_prob": True}
MROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
SIGLIP = {
    "hidden_size": 32,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 7,
}
QWEN_VISION = {"depth": 2, "num_heads": 2, "patch_size": 4, "spatial_merge_size": 2, "temporal_patch_size": 2}
PIXELS = {"min_pixels": 256, "max_pixels": 2048}


def chat(picture: str) -> str:
    """A chat template that writes `picture` for each picture."""
    return (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for part in m['content'] %}"
        "{% if part['type'] == 'image' %}" + picture + "{% else %}{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>\n"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )


TEXT_CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True)
class Family:
    """`processor` and `images` are class names with their settings; `tokens` the tokenizer's named special tokens.

    `reason` says why a machine without torchvision cannot build its processor.
    """

    config: Callable[[], Any]
    model: str
    processor: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    images: Mapping[str, Any] = field(default_factory=dict)
    tokens: Mapping[str, str] = field(default_factory=dict)
    template: str | None = TEXT_CHAT
    sparse: tuple[int, ...] = ()
    reason: str = ""


def square(side: int, kind: str, **settings: Any) -> dict[str, Any]:
    return {"image_processor_type": kind, "size": {"height": side, "width": side}, **settings}


def llava() -> Any:
    vision = hf.CLIPVisionConfig(**SIGLIP)
    return hf.LlavaConfig(
        vision_config=vision, text_config=hf.LlamaConfig(**TEXT), image_token_index=ID["<image>"], image_seq_length=16
    )


def llava_onevision() -> Any:
    return hf.LlavaOnevisionConfig(
        vision_config=hf.SiglipVisionConfig(**SIGLIP, vision_use_head=False),
        text_config=hf.Qwen2Config(**TEXT),
        image_token_index=ID["<image>"],
        video_token_index=ID["<video>"],
        image_grid_pinpoints=[[28, 28], [28, 56], [56, 28], [56, 56]],
    )


def idefics(kind: str) -> Callable[[], Any]:
    def config() -> Any:
        vision = {**SIGLIP, "image_size": 28, "patch_size": 7}
        text = {**TEXT, "model_type": "llama"}
        return getattr(hf, f"{kind}Config")(
            vision_config=vision, text_config=text, image_token_id=ID["<image>"], scale_factor=2, pad_token_id=0
        )

    return config


def qwen(kind: str, vision: Mapping[str, Any], text: Mapping[str, Any] | None = None) -> Callable[[], Any]:
    def config() -> Any:
        return getattr(hf, f"{kind}Config")(
            text_config={**TEXT, "rope_parameters": MROPE, **(text or {})},
            vision_config={**QWEN_VISION, **vision},
            image_token_id=ID["<|image_pad|>"],
            video_token_id=ID["<|video_pad|>"],
            vision_start_token_id=ID["<|vision_start|>"],
            vision_end_token_id=ID["<|vision_end|>"],
        )

    return config


QWEN3_VISION = {
    "hidden_size": 32,
    "intermediate_size": 40,
    "out_hidden_size": HIDDEN,
    "num_position_embeddings": 64,
    "deepstack_visual_indexes": [0],
}


def paligemma() -> Any:
    text = {**TEXT, "vocab_size": 1600, "head_dim": 16, "model_type": "gemma"}
    return hf.PaliGemmaConfig(
        vision_config={
            **SIGLIP,
            "model_type": "siglip_vision_model",
            "projection_dim": HIDDEN,
            "vision_use_head": False,
        },
        text_config=text,
        image_token_index=ID["<image>"],
        projection_dim=HIDDEN,
        hidden_size=HIDDEN,
        vocab_size=1600,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )


def gemma3() -> Any:
    return hf.Gemma3Config(
        vision_config={**SIGLIP, "model_type": "siglip_vision_model", "vision_use_head": False},
        text_config={**TEXT, "head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 64},
        mm_tokens_per_image=4,
        image_token_index=ID["<image>"],
        boi_token_index=ID["<start_of_image>"],
        eoi_token_index=ID["<end_of_image>"],
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )


def internvl() -> Any:
    return hf.InternVLConfig(
        vision_config={**SIGLIP, "image_size": [28, 28], "patch_size": [7, 7]},
        text_config=hf.Qwen2Config(**TEXT),
        image_token_id=ID["<IMG_CONTEXT>"],
        image_seq_length=4,
    )


def mllama() -> Any:
    vision = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_global_layers": 1,
        "attention_heads": 2,
        "intermediate_size": 40,
        "vision_output_dim": 64,
        "image_size": 28,
        "patch_size": 7,
        "max_num_tiles": 2,
        "intermediate_layers_indices": [0],
        "supported_aspect_ratios": [[1, 1], [1, 2], [2, 1]],
    }
    text = {**TEXT, "cross_attention_layers": [1, 3], "rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}
    return hf.MllamaConfig(vision_config=vision, text_config=text, image_token_index=ID["<|image|>"])


def mistral3() -> Any:
    vision = {**SIGLIP, "image_size": 56, "patch_size": 4, "head_dim": 16, "model_type": "pixtral"}
    return hf.Mistral3Config(
        vision_config=vision,
        text_config={**TEXT, "head_dim": 16, "model_type": "mistral"},
        image_token_index=ID["[IMG]"],
        spatial_merge_size=2,
    )


def llama4() -> Any:
    vision = {
        "hidden_size": 32,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 7,
        "vision_output_dim": 32,
        "projector_input_dim": 32,
        "projector_output_dim": 32,
    }
    text = {
        **TEXT,
        "head_dim": 16,
        "intermediate_size_mlp": 40,
        "num_local_experts": 4,
        "num_experts_per_tok": 1,
        "interleave_moe_layer_step": 2,
        "attention_chunk_size": 512,
    }
    return hf.Llama4Config(
        vision_config=vision,
        text_config=text,
        image_token_index=ID["<|image|>"],
        boi_token_index=ID["<|begin_of_image|>"],
        eoi_token_index=ID["<|end_of_image|>"],
    )


def glm4v(kind: str, **text: Any) -> Callable[[], Any]:
    def config() -> Any:
        vision = {
            "depth": 2,
            "hidden_size": 32,
            "num_heads": 2,
            "patch_size": 4,
            "image_size": 32,
            "out_hidden_size": HIDDEN,
            "intermediate_size": 40,
        }
        return getattr(hf, f"{kind}Config")(
            vision_config=vision,
            text_config={**TEXT, "rope_parameters": MROPE, **text},
            image_token_id=ID["<|image|>"],
            video_token_id=ID["<|video|>"],
            image_start_token_id=ID["<|begin_of_image|>"],
            image_end_token_id=ID["<|end_of_image|>"],
            video_start_token_id=ID["<|begin_of_video|>"],
            video_end_token_id=ID["<|end_of_video|>"],
        )

    return config


def deepseek_vl() -> Any:
    return hf.DeepseekVLConfig(
        vision_config={**SIGLIP, "model_type": "siglip_vision_model"},
        text_config={**TEXT, "model_type": "llama"},
        image_token_id=ID["<image>"],
    )


def janus() -> Any:
    vision = {
        **{
            key: SIGLIP[key]
            for key in ("hidden_size", "num_hidden_layers", "num_attention_heads", "image_size", "patch_size")
        },
        "projection_dim": HIDDEN,
        "num_image_tokens": 16,
        "mlp_ratio": 1.0,
    }
    pixels = {
        "embed_dim": 8,
        "num_embeddings": 16,
        "latent_channels": 8,
        "base_channels": 32,
        "channel_multiplier": [1],
        "num_res_blocks": 1,
        "num_patches": 4,
        "projection_dim": HIDDEN,
        "image_token_embed_dim": HIDDEN,
    }
    return hf.JanusConfig(
        vision_config=vision,
        vq_config=pixels,
        text_config={**TEXT, "model_type": "llama"},
        image_token_id=ID["<image>"],
    )


def ovis2() -> Any:
    return hf.Ovis2Config(
        vision_config={**SIGLIP, "vocab_size": 24, "hidden_stride": 2, "num_visual_indicator_tokens": 5},
        text_config=hf.Qwen2Config(**TEXT),
        image_token_id=ID["<IMG_ATOM>"],
        visual_indicator_token_ids=[ID[f"<IMG_{n}>"] for n in ("START", "END", "GRID", "COL", "ROW")],
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
    )


QWEN_IMAGES = {"image_processor_type": "Qwen2VLImageProcessor", "patch_size": 4, "merge_size": 2, **PIXELS}
QWEN_PICTURE = "<|vision_start|><|image_pad|><|vision_end|>"
GLM_IMAGES = {
    "image_processor_type": "Glm4vImageProcessor",
    "patch_size": 4,
    "merge_size": 2,
    "size": {"shortest_edge": 512, "longest_edge": 4096},
}
IDEFICS_IMAGES = {"size": {"longest_edge": 56}, "max_image_size": {"longest_edge": 28}}

FAMILIES: dict[str, Family] = {
    "llava": Family(
        llava,
        "LlavaForConditionalGeneration",
        "LlavaProcessor",
        {"patch_size": 7, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1},
        {
            "image_processor_type": "CLIPImageProcessor",
            "size": {"shortest_edge": 28},
            "crop_size": {"height": 28, "width": 28},
        },
        {"image_token": "<image>"},
        chat("<image>\n"),
    ),
    "llava_onevision": Family(
        llava_onevision,
        "LlavaOnevisionForConditionalGeneration",
        "LlavaOnevisionProcessor",
        {"num_image_tokens": 16, "vision_feature_select_strategy": "full"},
        square(28, "LlavaOnevisionImageProcessor", image_grid_pinpoints=[[28, 28], [28, 56], [56, 28], [56, 56]]),
        template=chat("<image>\n"),
    ),
    "smolvlm": Family(
        idefics("SmolVLM"),
        "SmolVLMForConditionalGeneration",
        "SmolVLMProcessor",
        {"image_seq_len": 4},
        {"image_processor_type": "SmolVLMImageProcessor", **IDEFICS_IMAGES},
        template=chat("<image>"),
    ),
    "idefics3": Family(
        idefics("Idefics3"),
        "Idefics3ForConditionalGeneration",
        "Idefics3Processor",
        {"image_seq_len": 4},
        {"image_processor_type": "Idefics3ImageProcessor", **IDEFICS_IMAGES},
        template=chat("<image>"),
    ),
    "qwen2_vl": Family(
        qwen("Qwen2VL", {"embed_dim": 32, "hidden_size": HIDDEN, "mlp_ratio": 1}),
        "Qwen2VLForConditionalGeneration",
        "Qwen2VLProcessor",
        images=QWEN_IMAGES,
        template=chat(QWEN_PICTURE),
    ),
    "qwen2_5_vl": Family(
        qwen(
            "Qwen2_5_VL",
            {
                "hidden_size": 32,
                "intermediate_size": 40,
                "out_hidden_size": HIDDEN,
                "window_size": 16,
                "fullatt_block_indexes": [1],
            },
        ),
        "Qwen2_5_VLForConditionalGeneration",
        "Qwen2_5_VLProcessor",
        images=QWEN_IMAGES,
        template=chat(QWEN_PICTURE),
    ),
    "qwen3_vl": Family(
        qwen("Qwen3VL", QWEN3_VISION, {"head_dim": 16}),
        "Qwen3VLForConditionalGeneration",
        "Qwen3VLProcessor",
        images=QWEN_IMAGES,
        template=chat(QWEN_PICTURE),
    ),
    "qwen3_vl_moe": Family(
        qwen("Qwen3VLMoe", QWEN3_VISION, {"head_dim": 16, **EXPERTS, "mlp_only_layers": [0]}),
        "Qwen3VLMoeForConditionalGeneration",
        "Qwen3VLProcessor",
        images=QWEN_IMAGES,
        template=chat(QWEN_PICTURE),
        sparse=(1, 2, 3),
    ),
    "paligemma": Family(
        paligemma,
        "PaliGemmaForConditionalGeneration",
        "PaliGemmaProcessor",
        images=square(28, "SiglipImageProcessor", image_seq_length=16),
        tokens={"image_token": "<image>"},
        template=None,
    ),
    "gemma3": Family(
        gemma3,
        "Gemma3ForConditionalGeneration",
        "Gemma3Processor",
        {"image_seq_length": 4},
        square(28, "Gemma3ImageProcessor"),
        {"image_token": "<image>", "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"},
        chat("<start_of_image>"),
    ),
    "internvl": Family(
        internvl,
        "InternVLForConditionalGeneration",
        "InternVLProcessor",
        {"image_seq_length": 4},
        square(28, "GotOcr2ImageProcessor", crop_to_patches=True, min_patches=1, max_patches=4),
        {
            "start_image_token": "<IMG_START>",
            "end_image_token": "<IMG_END>",
            "context_image_token": "<IMG_CONTEXT>",
            "video_token": "<video>",
        },
        chat("<IMG_CONTEXT>\n"),
    ),
    "mllama": Family(
        mllama,
        "MllamaForConditionalGeneration",
        "MllamaProcessor",
        images=square(28, "MllamaImageProcessor", max_image_tiles=2),
        template="{{ '<s>' }}" + chat("<|image|>"),
    ),
    "mistral3": Family(
        mistral3,
        "Mistral3ForConditionalGeneration",
        "PixtralProcessor",
        {"patch_size": 4, "spatial_merge_size": 2},
        {"image_processor_type": "PixtralImageProcessor", "size": {"longest_edge": 56}, "patch_size": 4},
        template=chat("[IMG]"),
    ),
    "llama4": Family(
        llama4,
        "Llama4ForConditionalGeneration",
        "Llama4Processor",
        images=square(28, "Llama4ImageProcessor"),
        template=chat("<|image|>"),
        sparse=(1, 3),
        reason="transformers has Llama 4's image processor for torchvision alone",
    ),
    "glm4v": Family(
        glm4v("Glm4v"),
        "Glm4vForConditionalGeneration",
        "Glm4vProcessor",
        images=GLM_IMAGES,
        template=chat("<|begin_of_image|><|image|><|end_of_image|>"),
        tokens={"image_token": "<|image|>", "video_token": "<|video|>"},
    ),
    "glm4v_moe": Family(
        glm4v(
            "Glm4vMoe",
            n_routed_experts=4,
            num_experts_per_tok=2,
            n_shared_experts=1,
            moe_intermediate_size=24,
            first_k_dense_replace=1,
            head_dim=16,
            rope_parameters={**MROPE, "mrope_section": [1, 1, 2]},
        ),
        "Glm4vMoeForConditionalGeneration",
        "Glm4vProcessor",
        images=GLM_IMAGES,
        template=chat("<|begin_of_image|><|image|><|end_of_image|>"),
        tokens={"image_token": "<|image|>", "video_token": "<|video|>"},
        sparse=(1, 2, 3),
    ),
    "deepseek_vl": Family(
        deepseek_vl,
        "DeepseekVLForConditionalGeneration",
        "DeepseekVLProcessor",
        {"num_image_tokens": 16},
        square(28, "DeepseekVLImageProcessor", min_size=4),
        {"image_token": "<image>"},
        chat("<image>"),
    ),
    "janus": Family(
        janus,
        "JanusForConditionalGeneration",
        "JanusProcessor",
        {"num_image_tokens": 16},
        square(28, "JanusImageProcessor", min_size=4),
        {"image_token": "<image>", "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"},
        chat("<image>\n"),
    ),
    "ovis2": Family(
        ovis2,
        "Ovis2ForConditionalGeneration",
        "Ovis2Processor",
        {"image_seq_length": 4},
        square(28, "Ovis2ImageProcessor", crop_to_patches=True, min_patches=1, max_patches=4),
        template=chat("<image>\n"),
    ),
    "llama": Family(lambda: hf.LlamaConfig(**TEXT), "LlamaForCausalLM"),
    "qwen3": Family(lambda: hf.Qwen3Config(**TEXT, head_dim=16), "Qwen3ForCausalLM"),
    "mixtral": Family(
        lambda: hf.MixtralConfig(**TEXT, num_local_experts=4, num_experts_per_tok=2),
        "MixtralForCausalLM",
        sparse=(0, 1, 2, 3),
    ),
    "olmoe": Family(
        lambda: hf.OlmoeConfig(**TEXT, num_experts=4, num_experts_per_tok=2), "OlmoeForCausalLM", sparse=(0, 1, 2, 3)
    ),
}


def save_family(name: str, folder: Path) -> Path:
    """Writes a family's model and processor into a folder, and returns it."""
    family = FAMILIES[name]
    torch.manual_seed(0)
    model = getattr(hf, family.model)(family.config())
    with torch.no_grad():  # larger than transformers' 0.02, so that a tiny model's outputs differ clearly
        for name_, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.mul_(4)
            if not name_.endswith("bias") and not bool(parameter.any()):
                parameter.normal_(std=0.5)  # gates and projections of pictures that start closed
    model.save_pretrained(folder)
    _tokenizer(family.tokens).save_pretrained(folder)
    if family.template is not None:
        (folder / "chat_template.jinja").write_text(family.template)
    if family.images:
        (folder / "preprocessor_config.json").write_text(json.dumps(dict(family.images)))
    if family.processor:
        settings = {"processor_class": family.processor, **family.settings}
        (folder / "processor_config.json").write_text(json.dumps(settings))
    return folder


def _tokenizer(tokens: Mapping[str, str]) -> PreTrainedTokenizerFast:
    raw = Tokenizer(models.BPE(vocab=dict(ID), merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    raw.add_special_tokens(list(SPECIAL))
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        extra_special_tokens={**tokens},
    )
