"""Room for learned vectors in a request: a mark of its own kind in the text, and finding it on its way through a model.

What puts vectors there sees the same in training, where rows may be packed, and while an answer is generated.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from tokenizers import AddedToken
from torch import Tensor, nn

from lynx_cl.continual.course import Lesson
from lynx_cl.continual.measure import TaskUnderTest
from lynx_cl.data.example import Example, Lazy
from lynx_cl.training.step_loss import answer_positions

MARK = "<|learned|>"


class Marks:
    """`count` marks before the text of every request, and `fill` for what stands there.

    `fill` is given the frozen decoder's states at the end of each request, (requests, hidden), with nothing learned in
    its place yet, and gives the vectors of each, (requests, count, hidden). The hooks stay with the model.
    """

    def __init__(self, base: Any, count: int, fill: Callable[[Tensor], Tensor]) -> None:
        self.count, self.fill = count, fill
        tokenizer, model = base.processor.tokenizer, base.model
        tokenizer.add_tokens([AddedToken(MARK, special=True, normalized=False)])
        self.token = int(tokenizer.convert_tokens_to_ids(MARK))
        self.decoder: nn.Module = model.get_decoder()
        self._places: Tensor | None = None  # of marks in the batch that is on its way, (rows, tokens)
        self._ends: Tensor | None = None  # where answers are about to begin, where that is known
        self._inside = False
        model.get_input_embeddings().register_forward_pre_hook(self._look)
        self.decoder.register_forward_pre_hook(self._put, with_kwargs=True)

    def example(self, example: Example) -> Example:
        """The example with marks before its first question."""
        first, *rest = example.steps
        first = dataclasses.replace(first, question=MARK * self.count + first.question)
        return dataclasses.replace(example, steps=(first, *rest))

    def lesson(self, lesson: Lesson) -> Lesson:
        """The lesson with marks in all of its examples."""

        def split(groups: Any) -> Any:
            return Lazy(len(groups), lambda i: tuple(map(self.example, groups[i])))

        splits = {name: split(groups) for name, groups in lesson.source.splits.items()}
        return dataclasses.replace(lesson, source=dataclasses.replace(lesson.source, splits=splits))

    def test(self, test: TaskUnderTest) -> TaskUnderTest:
        """The test with marks in all of its requests."""
        return dataclasses.replace(test, examples=Lazy(len(test.examples), lambda i: self.example(test.examples[i])))

    @contextmanager
    def training_on(self, batch: Any) -> Iterator[None]:
        """Within it, a request ends where its first answer begins; else it ends with its row."""
        self._ends = answer_positions(batch.labels)
        try:
            yield
        finally:
            self._ends = None

    def _look(self, module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        ids = args[0]
        self._places = ids == self.token
        return (ids.masked_fill(self._places, 0), *args[1:])  # the mark is no word of the model's

    def _put(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
        embeddings, places = kwargs.get("inputs_embeds"), self._places
        if self._inside or embeddings is None or places is None or embeddings.shape[:2] != places.shape:
            return None
        if not bool(places.any()):
            return None
        rows, columns = (index.reshape(-1, self.count) for index in places.nonzero(as_tuple=True))
        ends = self._last(rows[:, 0], columns[:, -1], places)
        seen = {name: kwargs[name] for name in ("attention_mask", "position_ids") if kwargs.get(name) is not None}
        self._inside = True
        try:
            with torch.no_grad():
                states = self.decoder(inputs_embeds=embeddings, use_cache=False, **seen).last_hidden_state
        finally:
            self._inside = False
        vectors = self.fill(states[rows[:, 0], ends].float())
        return args, {**kwargs, "inputs_embeds": embeddings.index_put((rows, columns), vectors.to(embeddings.dtype))}

    def _last(self, rows: Tensor, starts: Tensor, places: Tensor) -> Tensor:
        """The position at which each request ends: the first after its marks whose next token is an answer's."""
        if self._ends is None:
            return torch.full_like(starts, places.shape[1] - 1)
        after = torch.arange(places.shape[1], device=starts.device) > starts[:, None]
        return (self._ends.to(starts.device)[rows] & after).int().argmax(1)
