"""The trunk embedder: the base's own features below the first tap."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import BatchFeature

from lynx_cl.base.load import Base
from lynx_cl.base.taps import find_taps
from lynx_cl.errors import LynxError
from lynx_cl.router.embedders import Request
from lynx_cl.router.trunk import PROMPT_LIMIT, TrunkEmbedder
from tests.families.tiny import HIDDEN, IMAGE_TOKEN, IMAGE_TOKENS, SIDE, tiny_base


class LetterProcessor:
    """A token a letter, and the picture's pixels as they are."""

    def __init__(self) -> None:
        self.tokenizer = self
        self.longest = 0

    def decode(self, ids: list[int]) -> str:
        return "".join(map(chr, ids))

    def apply_chat_template(self, turns: list[dict[str, Any]], **options: Any) -> str:
        return str(turns[0]["content"][1]["text"])

    def __call__(self, text: Any, images: Any = None, **options: Any) -> Any:
        if images is None:
            return {"input_ids": list(map(ord, text))}
        self.longest = len(text[0])
        ids = torch.tensor([[IMAGE_TOKEN] * IMAGE_TOKENS + [4 + ord(letter) % 60 for letter in text[0][:64]]])
        pixels = torch.from_numpy(np.asarray(images[0], np.float32)).permute(2, 0, 1)[None] / 255
        return BatchFeature({"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": pixels})


@pytest.fixture(scope="module")
def base() -> Base:
    return replace(tiny_base("llama"), processor=LetterProcessor())


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (SIDE, SIDE, 3), np.uint8))


def test_rows_are_pooled_states_of_the_layer_below_the_first_tap(base: Base) -> None:
    embedder = TrunkEmbedder(base)
    row = embedder.embed([Request("find the dog", picture(0))])[0]
    assert row.shape == (embedder.dimension,) == (2 * HIDDEN,) and row.dtype == np.float32
    inputs = base.processor(text=["find the dog"], images=[picture(0)])
    states = base.model(**inputs, output_hidden_states=True).hidden_states[find_taps(base.model)[0].layer][0]
    halves = [part.mean(0) / part.mean(0).norm() for part in (states[IMAGE_TOKENS:], states[:IMAGE_TOKENS])]
    np.testing.assert_allclose(row, torch.cat(halves).numpy() / 2**0.5, atol=1e-5)


def test_text_and_picture_both_matter_and_the_batch_does_not(base: Base) -> None:
    embedder = TrunkEmbedder(base)
    requests = [Request(text, picture(seed)) for text, seed in (("a", 0), ("a", 1), ("b", 0))]
    rows = embedder.embed(requests)
    assert not np.array_equal(rows[0, HIDDEN:], rows[1, HIDDEN:]) and not np.array_equal(rows[0], rows[2])
    assert np.array_equal(rows[2:], embedder.embed(requests[2:]))
    assert not any(layer._forward_pre_hooks for layer in base.model.model.language_model.layers)


def test_a_missing_picture_is_an_error_and_a_long_prompt_is_cut(base: Base) -> None:
    embedder = TrunkEmbedder(base)
    with pytest.raises(LynxError, match="give --image"):
        embedder.embed([Request("find the dog")])
    embedder.embed([Request("x" * 5000, picture(0))])
    assert base.processor.longest == PROMPT_LIMIT
