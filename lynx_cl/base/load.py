"""Loading a base: model, processor, card and fingerprint, frozen and ready for banks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from lynx_cl.base.card import BaseCard, find_base, read_card
from lynx_cl.base.fingerprint import fingerprint, fingerprint_folder
from lynx_cl.errors import LynxError, UsageError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Base:
    """The frozen pretrained VLM. `path` is None for a base that came from a hub."""

    name: str
    path: Path | None
    model: Any
    processor: Any
    card: BaseCard
    fingerprint: str


def load_base(name_or_path: str, *, dtype: str = "float32") -> Base:
    """Loads a shipped base ('nano'), a local folder or a hub name, through transformers' own Auto classes.

    Its parameters ask for no gradient and it is in evaluation mode. Raises UsageError for an unknown name or dtype,
    LynxError for a folder that is not a vision-language model.
    """
    if dtype not in DTYPES:
        raise UsageError(f"base {name_or_path}: dtype '{dtype}' is unknown; known: {', '.join(DTYPES)}")
    place = find_base(name_or_path)
    card = read_card(place) if isinstance(place, Path) else BaseCard(name=place)
    _require_vlm(place)
    from transformers import AutoModelForImageTextToText, AutoProcessor
    from transformers.utils import logging as transformers_logging

    from lynx_cl.base.kernels import use_cpu_kernels

    transformers_logging.disable_progress_bar()
    try:
        model = AutoModelForImageTextToText.from_pretrained(place, dtype=DTYPES[dtype])
        processor = AutoProcessor.from_pretrained(place)
    except (OSError, ValueError, ImportError, RuntimeError, SafetensorError) as error:
        raise LynxError(f"base {place}: cannot be loaded: {_first_line(error)}") from None
    model.requires_grad_(False).eval()
    for tensor in (*model.parameters(), *model.buffers()):
        # out of the mapped file, where tensors lie at odd addresses: a product's last bits can depend on alignment
        tensor.data = tensor.data.clone()
    if model.device.type == "cpu" and dtype == "float32":
        use_cpu_kernels(model)
    if isinstance(place, Path):
        return Base(card.name, place, model, processor, card, fingerprint_folder(place))
    return Base(card.name, None, model, processor, card, fingerprint(model))


def _require_vlm(place: Path | str) -> None:
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    try:
        model_type = AutoConfig.from_pretrained(place).model_type
    except (OSError, ValueError, KeyError) as error:
        raise LynxError(f"base {place}: {_first_line(error)}") from None
    if model_type not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        raise LynxError(f"base {place}: a '{model_type}' model is no vision-language model; give one that reads images")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
