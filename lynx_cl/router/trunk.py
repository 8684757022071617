"""The trunk embedder: the base's own frozen features below the first tap, which no bank can change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from lynx_cl.base.chat import chat_text, model_inputs
from lynx_cl.base.load import image_token_id
from lynx_cl.base.spread import device_of
from lynx_cl.base.taps import find_taps
from lynx_cl.errors import LynxError
from lynx_cl.router.embedders import Request, Rows, unit

if TYPE_CHECKING:
    from lynx_cl.base.load import Base

PROMPT_LIMIT = 256  # tokens of a prompt that are read; the rest of a longer one is cut off
PICTURE = 0.5  # what is asked says more of a task than what it is asked about


class _Reached(Exception):
    """Carries the states that enter the first tapped layer, so that the layers above it are never run."""

    def __init__(self, states: Tensor) -> None:
        self.states = states


class TrunkEmbedder:
    """What the base makes of a request below its first tap, in three parts behind each other, (3 x hidden).

    The word embeddings of its text, the states of its text that enter the first tapped layer, and those of its picture:
    each a mean over tokens, the text's scaled to length 1 first, so that none outweighs the others; the picture's part
    weighs PICTURE of the others. Every request needs its picture. `layer` is the module path of that layer: a forward
    that is on its way through it can be routed by `pooled` and go on.
    """

    name = "trunk"
    pictures = True
    near = 1.0  # a base's features are all alike, so only a task's own similarities tell what is far

    def __init__(self, base: Base) -> None:
        self.base = base
        token = image_token_id(base.model)
        if token is None:
            raise LynxError(f"base {base.name}: it reads text alone; use the router's text embedder")
        tap = find_taps(base.model, pattern=base.card.taps)[0]
        self.dimension = 3 * tap.hidden
        self.digest = f"{base.fingerprint}-{tap.layer}-words"
        self.layer = tap.name.rpartition(".")[0]
        self._words = base.model.get_input_embeddings()
        self._weights = torch.tensor([1.0, 1.0, PICTURE], device=device_of(base.model))[:, None]
        self._image_token = token

    def embed(self, requests: Sequence[Request]) -> Rows:
        """Rows (requests, 3 x hidden). Raises LynxError where a request comes without a picture."""
        for request in requests:
            if request.image is None:
                raise LynxError(f"prompt {request.text[:40]!r}: the router looks at the picture too; give --image")
        rows = [self._row(request) for request in requests]  # one at a time: no bit depends on the batch
        return np.stack(rows) if rows else np.zeros((0, self.dimension), np.float32)

    def whole(self, request: Request) -> bool:
        """Whether all of a prompt is read, so that `pooled` gives what `embed` gives."""
        return len(self._tokens(request)) <= PROMPT_LIMIT

    def pooled(self, requests: Sequence[Request], states: Tensor, inputs: Mapping[str, Tensor]) -> Rows:
        """Rows of requests from the states (requests, tokens, hidden) that enter the layer and the forward's inputs."""
        ids = inputs["input_ids"]
        picture = ids == self._image_token
        text = (inputs["attention_mask"].bool() & ~picture).float()
        words, states = self._words(ids).float(), states.float()
        # sums instead of means: they are scaled to length 1 next
        of_words = torch.bmm(_per_length(text, words)[:, None], words)
        of_states = torch.bmm(torch.stack([_per_length(text, states), picture.float()], dim=1), states)
        parts = normalize(torch.cat([of_words, of_states], dim=1), dim=-1) * self._weights
        return unit(parts.flatten(1).cpu().numpy(), self.name)

    def _row(self, request: Request) -> Rows:
        ids = self._tokens(request)
        text = self.base.processor.tokenizer.decode(ids[:PROMPT_LIMIT]) if len(ids) > PROMPT_LIMIT else request.text
        inputs = model_inputs(self.base, [chat_text(self.base.processor, text, True)], [request.image])
        return self.pooled([request], self._states(inputs), inputs)[0]

    def _tokens(self, request: Request) -> list[int]:
        return list(self.base.processor.tokenizer(request.text, add_special_tokens=False)["input_ids"])

    def _states(self, inputs: Any) -> Tensor:
        def stop(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            raise _Reached(args[0] if args else kwargs["hidden_states"])

        handle = self.base.model.get_submodule(self.layer).register_forward_pre_hook(stop, with_kwargs=True)
        try:
            with torch.no_grad():
                self.base.model(**inputs, use_cache=False)
        except _Reached as reached:
            return reached.states
        finally:
            handle.remove()
        raise LynxError(f"base {self.base.name}: its first tapped layer never ran; name the taps in its base card")


def _per_length(mask: Tensor, tokens: Tensor) -> Tensor:
    """One over the length of each token (rows, tokens, hidden) that counts, and 0 for the others: (rows, tokens)."""
    return mask / torch.linalg.vector_norm(tokens, dim=-1).clamp(min=1e-12)
