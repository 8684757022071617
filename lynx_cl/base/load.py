"""Loading a base: model, processor, card and fingerprint, frozen and ready for banks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from lynx_cl.base.card import BaseCard, find_base, read_card
from lynx_cl.base.chat import chat_text, check_template, model_inputs
from lynx_cl.base.fingerprint import fingerprint, fingerprint_folder
from lynx_cl.base.processor import load_processor
from lynx_cl.base.quantise import is_quantised, quantisation, quantised_fingerprint, scheme_of, settle
from lynx_cl.base.repair import repair
from lynx_cl.base.spread import clear_away, device_of, spreading
from lynx_cl.errors import LynxError, UsageError

SPARE = 64  # tokens that a tokenizer may have past those embedded: some are never used
_SAMPLE = "The quick brown fox, 0123456789, jumps over: [a lazy dog]!"
_FITTING = "save the processor that belongs to the model beside it"
DTYPES = {"auto": "auto", "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Base:
    """The frozen pretrained model. `path` is None for a base that came from a hub."""

    name: str
    path: Path | None
    model: Any
    processor: Any
    card: BaseCard
    fingerprint: str

    @property
    def reads_pictures(self) -> bool:
        """False for a base that reads text alone."""
        return self.processor is None or hasattr(self.processor, "image_processor")


def load_base(name_or_path: str, *, dtype: str | None = None, card: BaseCard | None = None) -> Base:
    """Loads a shipped base ('nano'), a local folder or a hub name, through transformers' own Auto classes.

    A vision-language model, or a causal language model, which reads text alone. `dtype` None takes the base card's,
    which is that of the weights on disk unless it says otherwise: nothing is upcast or downcast unasked. `card` is used
    in place of the folder's own. Its parameters ask for no gradient and it is in evaluation mode.

    Raises UsageError for an unknown name or dtype, LynxError for a folder that is no such model, lacks weights, or
    whose processor or chat template does not fit it.
    """
    place = find_base(name_or_path)
    if card is None:
        card = read_card(place) if isinstance(place, Path) else BaseCard(name=place)
    dtype = dtype or card.dtype
    if dtype not in DTYPES:
        raise UsageError(f"base {name_or_path}: dtype '{dtype}' is unknown; known: {', '.join(DTYPES)}")
    model_type, reads_pictures = _kind(place)
    from transformers.utils import logging as transformers_logging

    from lynx_cl.base.kernels import use_cpu_kernels

    transformers_logging.disable_progress_bar()
    try:
        options = {"quantization_config": quantisation(card.quantise), **spreading(card)}
    except LynxError as error:
        raise LynxError(f"base {place}: {error}") from None
    model = _load_model(place, reads_pictures, DTYPES[dtype], options)
    try:
        processor = load_processor(place, model_type, reads_pictures)
        if card.chat_template is not None and isinstance(place, Path):
            processor.chat_template = _read_template(place / card.chat_template)
        check_template(processor)
        path, digest = (place, fingerprint_folder(place)) if isinstance(place, Path) else (None, fingerprint(model))
        digest = quantised_fingerprint(digest, card.quantise)
        base = Base(card.name, path, model, processor, card, digest)
        check_fit(base)
    except (OSError, ValueError, ImportError, RuntimeError, KeyError, TypeError, AttributeError, LynxError) as error:
        raise LynxError(f"base {place}: {_first_line(error)}") from None
    model.requires_grad_(False).eval()
    for tensor in (*model.parameters(), *model.buffers()):
        # out of the mapped file, where tensors lie at odd addresses: a product's last bits can depend on alignment
        if not (is_quantised(tensor) or tensor.is_meta):
            tensor.data = tensor.data.clone()
    if device_of(model).type == "cpu" and model.dtype == torch.float32:
        use_cpu_kernels(model)
    return base


def check_fit(base: Base) -> None:
    """Raises LynxError where a processor cannot be this model's: other image token, or words that it does not embed."""
    model, processor = base.model, base.processor
    picture = _picture() if base.reads_pictures else None
    inputs = model_inputs(base, [chat_text(processor, _SAMPLE, picture is not None)], [picture])
    words = model.get_input_embeddings().num_embeddings
    image = image_token_id(model)
    text = inputs["input_ids"][inputs["input_ids"] != image] if image is not None else inputs["input_ids"]
    largest = max(int(text.max()), max(processor.tokenizer.get_vocab().values()) - SPARE)
    if largest >= words:
        raise LynxError(f"its processor does not fit: it has a token {largest}, the model embeds {words}; {_FITTING}")
    if picture is not None and image is not None and not bool((inputs["input_ids"] == image).any()):
        raise LynxError(f"its processor does not fit: it never writes the model's image token {image}; {_FITTING}")


def check_scheme(base: Base, fingerprint: str) -> None:
    """Raises LynxError where a fingerprint is that of the same weights, quantised otherwise than this base."""
    scheme = None if base.path is None else scheme_of(fingerprint, fingerprint_folder(base.path))
    if scheme not in (None, base.card.quantise):
        raise LynxError(
            f"base {base.name}: what was learned on it belongs to it with quantise: {scheme}, and its card says "
            f"{base.card.quantise}; a bank fits the weights it was trained on alone: set that in {base.path}/base.yaml"
        )


def image_token_id(model: Any) -> int | None:
    """The token in whose place a model puts a picture's features."""
    for name in ("image_token_id", "image_token_index"):
        if getattr(model.config, name, None) is not None:
            return int(getattr(model.config, name))
    return None


def _read_template(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise LynxError(f"its card names a chat template, {path.name}, that cannot be read: {error.strerror}") from None


def _picture() -> Any:
    from PIL import Image

    return Image.linear_gradient("L").resize((72, 56)).convert("RGB")


def _load_model(place: Path | str, reads_pictures: bool, dtype: Any, options: Mapping[str, Any]) -> Any:
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText
    from transformers.utils import logging as transformers_logging

    kind: Any = AutoModelForImageTextToText if reads_pictures else AutoModelForCausalLM
    loudness = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # it would draw a table of what is missing, which is refused below
    model = None
    try:
        model, found = kind.from_pretrained(place, dtype=dtype, output_loading_info=True, **options)
    except (OSError, ValueError, ImportError, RuntimeError, KeyError, SafetensorError) as error:
        raise LynxError(f"base {place}: cannot be loaded: {_first_line(error)}") from None
    finally:
        transformers_logging.set_verbosity(loudness)
        clear_away(model, options)
    missing, other = sorted(found["missing_keys"]), found.get("mismatched_keys") or ()
    if missing or other:
        # transformers fills such tensors with random numbers and goes on
        what = (
            f"lacks {len(missing)} tensors of its model ({missing[0]} first)"
            if missing
            else "has tensors of other shapes"
        )
        raise LynxError(f"base {place}: the checkpoint {what}; its config is of another family, or files are missing")
    repair(model)
    settle(model)
    return model


def _kind(place: Path | str) -> tuple[str, bool]:
    """The transformers name of a model's family, and whether it reads pictures."""
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    )

    try:
        config = AutoConfig.from_pretrained(place)
    except (OSError, ValueError, KeyError) as error:
        raise LynxError(f"base {place}: {_first_line(error)}") from None
    model_type = config.model_type
    if config.is_encoder_decoder or config.get_text_config(decoder=True).is_encoder_decoder:
        raise LynxError(
            f"base {place}: a '{model_type}' model has an encoder and a decoder; banks act in decoders alone"
        )
    if model_type in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        return model_type, True
    if model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return model_type, False
    raise LynxError(
        f"base {place}: a '{model_type}' model answers no text; give a vision-language or causal language model"
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
