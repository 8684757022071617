"""From examples to model inputs: chat text in the base's own template, answers marked, rows packed where that helps.

An answer's tokens begin where a generation prompt ends and include the mark that ends the turn. What a processor makes
of a picture (tokens, masks, sizes) is its own affair: it is handed whole conversations, and the answers are found in
what it gives by counting from the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lynx_cl.base.chat import writes_start
from lynx_cl.base.nano.packing import IGNORE, pack_rows
from lynx_cl.base.processor import continues_in_suffix
from lynx_cl.data.example import STEPS, Example
from lynx_cl.data.template import Template, Turn, cut_tokens, template_of
from lynx_cl.errors import LynxError

_OWN = ("input_ids", "attention_mask", "pixel_values")


@dataclass(frozen=True)
class Batch:
    """Model inputs of B rows of T tokens.

    input_ids, labels (IGNORE outside answers) and step_ids are (B, T), pixel_values as the base's processor gives them
    (None for a base that reads text alone), attention_mask (B, T), or (B, 1, T, T) where rows are packed. `more` holds
    what else the base's forward takes, by name. At answer tokens step_ids names a column of step_weights (B, steps);
    `step_names` says what each column is.
    """

    input_ids: Tensor
    attention_mask: Tensor
    pixel_values: Tensor | None
    labels: Tensor
    step_ids: Tensor
    step_weights: Tensor
    position_ids: Tensor | None
    step_names: list[str]
    more: Mapping[str, Tensor] = field(default_factory=dict)


def encode(processor: Any, examples: Sequence[Example], *, pack: bool) -> Batch:
    """Examples as one batch. With `pack`, those that share a picture share a row, each seeing the picture and itself.

    Examples in words alone are never packed. Raises LynxError where there is no example, or one without steps, for a
    batch of both kinds on a base that reads pictures, and for a processor that changes text after the picture.
    """
    if not examples:
        raise LynxError("collate: no examples; a batch needs at least one")
    bare = sum(example.image is None for example in examples)
    if processor.image_token is not None and 0 < bare < len(examples):
        raise LynxError(
            f"collate: {bare} of {len(examples)} examples of a batch are about no picture; teach words alone in tasks "
            "and batches of their own"
        )
    pack = pack and not bare
    template = template_of(processor)
    rows: dict[Any, list[Example]] = {}
    for number, example in enumerate(examples):
        rows.setdefault(example.image_key if pack else number, []).append(example)
    members = list(rows.values())
    inputs = _packed(processor, template, members) if pack else _whole(processor, template, examples)
    width = max(len(row) for row in members)
    weights = torch.zeros(len(members), width * len(STEPS))
    columns = torch.full((len(members), width, max(len(e.steps) for e in examples)), -1)
    for r, row in enumerate(members):
        for c, example in enumerate(row):
            for s, step in enumerate(example.steps):
                column = c * len(STEPS) + STEPS.index(step.name)
                columns[r, c, s] = column
                weights[r, column] = step.weight
    owner, step_ids = inputs.pop("conversation_ids"), inputs.pop("step_ids")
    place = torch.arange(len(members))[:, None].expand_as(owner)
    named = columns[place, owner.clamp(min=0), step_ids.clamp(min=0)]
    labels = inputs.pop("labels")
    return Batch(
        input_ids=inputs.pop("input_ids"),
        attention_mask=inputs.pop("attention_mask"),
        pixel_values=inputs.pop("pixel_values", None),
        labels=labels,
        step_ids=torch.where(labels != IGNORE, named, -1),
        step_weights=weights,
        position_ids=inputs.pop("position_ids", None),
        step_names=list(STEPS) * width,
        more=inputs,
    )


def _packed(processor: Any, template: Template, rows: Sequence[Sequence[Example]]) -> dict[str, Tensor]:
    """Rows of conversations about one picture each; see `pack_rows` for the tensors."""
    head = processor(
        text=[template.picture] * len(rows),
        images=[[row[0].open()] for row in rows],
        padding=True,
        add_special_tokens=not writes_start(processor, template.picture),
        return_tensors="pt",
    )
    prefixes = [ids[mask.bool()].tolist() for ids, mask in zip(head["input_ids"], head["attention_mask"], strict=True)]
    written = [template.write(example) for row in rows for example in row]
    pieces = iter(cut_tokens(processor.tokenizer, *zip(*written, strict=True)))
    conversations = [[_turns(next(pieces)) for _ in row] for row in rows]
    packed = pack_rows(prefixes, conversations, processor.tokenizer.pad_token_id or 0)
    return {**packed, "pixel_values": head["pixel_values"]}


def _turns(pieces: Sequence[list[int]]) -> list[Turn]:
    return list(zip(pieces[::2], pieces[1::2], strict=True))


def _whole(processor: Any, template: Template, examples: Sequence[Example]) -> dict[str, Tensor]:
    """One conversation a row, padded on the right, through the processor whole."""
    written = [template.write(example) for example in examples]
    options: dict[str, Any] = {"add_special_tokens": not writes_start(processor, written[0][0])}
    bare = examples[0].image is None
    if continues_in_suffix(processor) and not bare:
        after = [(text[start + len(template.lead) :], start) for text, (_, start, *_) in written]
        end = processor.tokenizer.eos_token  # it adds that itself
        options["suffix"] = [rest.removesuffix(end) for rest, _ in after]
        texts = [text[:start] for text, (_, start, *_) in written]
        cuts = [
            [0, *(place - start - len(template.lead) for place in places[2:])]
            for (_, start), (_, places) in zip(after, written, strict=True)
        ]
        pieces = cut_tokens(processor.tokenizer, [rest for rest, _ in after], cuts)
    else:
        texts = [text for text, _ in written]
        pieces = [row[1:] for row in cut_tokens(processor.tokenizer, *zip(*written, strict=True))]
    if processor.image_token is not None and not bare:
        options["images"] = [[example.open()] for example in examples]
    read = processor.tokenizer if bare else processor  # some processors refuse text alone
    given = read(text=texts, padding=True, padding_side="right", return_tensors="pt", **options)
    inputs = {name: value for name, value in given.items() if isinstance(value, Tensor)}
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    inputs |= {
        "labels": torch.full_like(ids, IGNORE),
        "step_ids": torch.full_like(ids, -1),
        "conversation_ids": torch.zeros_like(ids),
    }
    for row, parts in enumerate(pieces):  # answer, question, answer, ...
        place = int(mask[row].sum()) - sum(map(len, parts))
        for number, part in enumerate(parts):
            end_ = place + len(part)
            if place < 0 or ids[row, place:end_].tolist() != part:
                raise LynxError(
                    f"collate: {type(processor).__name__} does not keep the text after a picture as it is, so that its "
                    "answers cannot be found; give the base a chat template that ends its turns with a special token"
                )
            if number % 2 == 0:
                inputs["labels"][row, place:end_] = ids[row, place:end_]
                inputs["step_ids"][row, place:end_] = number // 2
            place = end_
    return inputs
