"""The trunk embedder: the base's own frozen features below the first tap, which no bank can change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lynx_cl.base.taps import find_taps
from lynx_cl.errors import LynxError
from lynx_cl.router.embedders import Request, Rows, mean, unit

if TYPE_CHECKING:
    from lynx_cl.base.load import Base

PROMPT_LIMIT = 256  # tokens of a prompt that are read; the rest of a longer one is cut off


class _Reached(Exception):
    """Carries the states that enter the first tapped layer, so that the layers above it are never run."""

    def __init__(self, states: Tensor) -> None:
        self.states = states


class TrunkEmbedder:
    """Hidden states that enter the first tapped layer, averaged over the prompt's tokens and over the picture's.

    The two means are scaled to length 1 each and put behind each other, so a row has twice the base's hidden width.
    Every request needs its picture.
    """

    name = "trunk"
    pictures = True
    near = 1.0  # a base's features are all alike, so only a task's own similarities tell what is far

    def __init__(self, base: Base) -> None:
        self.base = base
        tap = find_taps(base.model, pattern=base.card.taps)[0]
        self.dimension = 2 * tap.hidden
        self.digest = f"{base.fingerprint}-{tap.layer}"
        self._layer = base.model.get_submodule(tap.name.rpartition(".")[0])
        self._image_token = base.model.config.image_token_id

    def embed(self, requests: Sequence[Request]) -> Rows:
        """Rows (requests, 2 x hidden). Raises LynxError where a request comes without a picture."""
        for request in requests:
            if request.image is None:
                raise LynxError(f"prompt {request.text[:40]!r}: the router looks at the picture too; give --image")
        rows = [self._row(request) for request in requests]  # one at a time: no bit depends on the batch
        return np.stack(rows) if rows else np.zeros((0, self.dimension), np.float32)

    def _row(self, request: Request) -> Rows:
        inputs = self._inputs(request)
        states = self._states(inputs).float().cpu()
        images = (inputs["input_ids"] == self._image_token).cpu()
        words = inputs["attention_mask"].bool().cpu() & ~images
        halves = [unit(mean(states, mask).numpy(), self.name) for mask in (words, images)]
        return unit(np.concatenate(halves, axis=1), self.name)[0]

    def _inputs(self, request: Request) -> Any:
        processor, tokenizer = self.base.processor, self.base.processor.tokenizer
        ids = tokenizer(request.text, add_special_tokens=False)["input_ids"]
        text = tokenizer.decode(ids[:PROMPT_LIMIT]) if len(ids) > PROMPT_LIMIT else request.text
        content = [{"type": "image"}, {"type": "text", "text": text}]
        turns = [{"role": "user", "content": content}]
        chat = processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        inputs = processor(text=[chat], images=[request.image], return_tensors="pt")
        return inputs.to(self.base.model.device)

    def _states(self, inputs: Any) -> Tensor:
        def stop(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            raise _Reached(args[0] if args else kwargs["hidden_states"])

        handle = self._layer.register_forward_pre_hook(stop, with_kwargs=True)
        try:
            with torch.no_grad():
                self.base.model(**inputs, use_cache=False)
        except _Reached as reached:
            return reached.states
        finally:
            handle.remove()
        raise LynxError(f"base {self.base.name}: its first tapped layer never ran; name the taps in its base card")
