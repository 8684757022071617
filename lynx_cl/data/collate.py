"""From examples to model inputs: chat text in the base's own template, answers marked, rows packed where that helps.

The template is taken apart once: what stands before a question, between question and answer, and after an answer. An
answer's tokens begin where a generation prompt ends and include the mark that ends the turn.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lynx_cl.base.nano.packing import IGNORE, pack_rows
from lynx_cl.data.example import STEPS, Example
from lynx_cl.errors import LynxError

_MARKS = ("\u2460", "\u2461", "\u2462", "\u2463")  # stand for question, answer, question, answer in the template

Turn = tuple[list[int], list[int]]


@dataclass(frozen=True)
class Batch:
    """Model inputs of B rows of T tokens.

    input_ids, labels (IGNORE outside answers) and step_ids are (B, T), pixel_values (B, channels, height, width),
    attention_mask (B, T), or (B, 1, T, T) where rows are packed. At answer tokens step_ids names a column of
    step_weights (B, steps); `step_names` says what each column is.
    """

    input_ids: Tensor
    attention_mask: Tensor
    pixel_values: Tensor
    labels: Tensor
    step_ids: Tensor
    step_weights: Tensor
    position_ids: Tensor | None
    step_names: list[str]


@dataclass(frozen=True)
class Template:
    """A chat template's fixed parts: picture QUESTION ask ANSWER close, then again QUESTION ... after `again`.

    `picture` ends with the image token, `first` follows it up to the question, `lead` stands between the end of the
    generation prompt and the answer.
    """

    picture: str
    first: str
    ask: str
    lead: str
    close: str
    again: str


def read_template(processor: Any) -> Template:
    """Takes a processor's chat template apart. Raises LynxError where its turns do not follow one another as text."""

    def render(turns: int, prompt: bool = False) -> str:
        messages: list[dict[str, Any]] = []
        for number, mark in enumerate(_MARKS[:turns]):
            content: list[dict[str, str]] = [{"type": "text", "text": mark}]
            if number == 0:
                content.insert(0, {"type": "image"})
            messages.append({"role": "assistant" if number % 2 else "user", "content": content})
        return processor.apply_chat_template(messages, add_generation_prompt=prompt, tokenize=False)

    whole, one, asked = render(4), render(2), render(1, prompt=True)
    token = processor.image_token
    try:
        before, rest = whole.split(_MARKS[0])
        between, rest = rest.split(_MARKS[1])
        after, rest = rest.split(_MARKS[2])
        ask, close = asked.split(_MARKS[0])[1], one.split(_MARKS[1])[1]
        picture, first = before.split(token)
        again = after.removeprefix(close)
    except ValueError:
        raise LynxError(
            "chat template: its turns cannot be told apart; give the base a template with plain turns"
        ) from None
    second, end = rest.split(_MARKS[3])
    if not (between.startswith(ask) and second == between and after.startswith(close) and end == close):
        raise LynxError("chat template: a later turn changes an earlier one; give the base a template with plain turns")
    return Template(picture + token, first, ask, between[len(ask) :], close, again)


_templates: dict[int, tuple[Any, Template]] = {}


def _template(processor: Any) -> Template:
    known = _templates.get(id(processor))
    if known is None or known[0] is not processor:
        known = (processor, read_template(processor))
        _templates[id(processor)] = known
    return known[1]


def encode(processor: Any, examples: Sequence[Example], *, pack: bool) -> Batch:
    """Examples as one batch. With `pack`, those that share a picture share a row, each seeing the picture and itself.

    Raises LynxError where there is no example, or one without steps.
    """
    if not examples:
        raise LynxError("collate: no examples; a batch needs at least one")
    template = _template(processor)
    rows: dict[Any, list[Example]] = {}
    for number, example in enumerate(examples):
        rows.setdefault(example.image_key if pack else number, []).append(example)
    pictures = [members[0].open() for members in rows.values()]
    start = processor.tokenizer.bos_token
    head = processor(
        text=[template.picture] * len(pictures),
        images=[[picture] for picture in pictures],
        padding=True,
        add_special_tokens=not (start and template.picture.startswith(start)),  # the template may write it already
        return_tensors="pt",
    )
    pad = processor.tokenizer.pad_token_id or 0
    prefixes = [ids[mask.bool()].tolist() for ids, mask in zip(head["input_ids"], head["attention_mask"], strict=True)]
    turns = _tokens(processor.tokenizer, template, [e for members in rows.values() for e in members])
    conversations, start = [], 0
    for members in rows.values():
        conversations.append(turns[start : start + len(members)])
        start += len(members)
    packed = pack_rows(prefixes, conversations, pad)
    width = max(len(members) for members in rows.values())
    weights = torch.zeros(len(rows), width * len(STEPS))
    columns = torch.full((len(rows), width, max(len(e.steps) for e in examples)), -1)
    for r, members in enumerate(rows.values()):
        for c, example in enumerate(members):
            for s, step in enumerate(example.steps):
                column = c * len(STEPS) + STEPS.index(step.name)
                columns[r, c, s] = column
                weights[r, column] = step.weight
    owner, step_ids = packed["conversation_ids"], packed["step_ids"]
    place = torch.arange(len(rows))[:, None].expand_as(owner)
    named = columns[place, owner.clamp(min=0), step_ids.clamp(min=0)]
    answers = packed["labels"] != IGNORE
    mask = packed["attention_mask"]
    if not pack:
        mask = (
            torch.arange(mask.shape[-1])[None]
            < torch.tensor([_length(p, t) for p, t in zip(prefixes, conversations, strict=True)])[:, None]
        ).long()
    return Batch(
        input_ids=packed["input_ids"],
        attention_mask=mask,
        pixel_values=head["pixel_values"],
        labels=packed["labels"],
        step_ids=torch.where(answers, named, -1),
        step_weights=weights,
        position_ids=packed["position_ids"] if pack else None,
        step_names=list(STEPS) * width,
    )


def _length(prefix: Sequence[int], conversations: Sequence[Sequence[Turn]]) -> int:
    return len(prefix) + sum(len(q) + len(a) for turns in conversations for q, a in turns)


def _tokens(tokenizer: Any, template: Template, examples: Sequence[Example]) -> list[list[Turn]]:
    """The turns of each example as (question tokens, answer tokens), from one call of the tokenizer.

    A conversation is tokenised whole and cut where its answers begin and end: pieces alone could come out otherwise.
    Raises LynxError for a tokenizer that cannot say which characters a token stands for.
    """
    if not tokenizer.is_fast:
        raise LynxError(f"collate: {type(tokenizer).__name__} gives no offsets; use the tokenizer's fast form")
    texts, cuts = [], []
    for example in examples:
        text = template.picture
        places = [len(text)]  # where each question and each answer begins, and the end of the last
        for number, step in enumerate(example.steps):
            text += (template.again if number else template.first) + step.question + template.ask
            places.append(len(text))
            text += template.lead + step.answer + template.close
            places.append(len(text))
        texts.append(text)
        cuts.append(places)
    made = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)
    turns = []
    for places, ids, offsets in zip(cuts, made["input_ids"], made["offset_mapping"], strict=True):
        ends = [end for _, end in offsets]
        marks = [bisect_right(ends, place) for place in places]
        parts = [ids[first:last] for first, last in itertools.pairwise(marks)]
        turns.append(list(zip(parts[::2], parts[1::2], strict=True)))
    return turns
