"""A chat template taken apart once: what stands before a question, between question and answer, and after an answer."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError

from lynx_cl.base.chat import message, render, without_reasoning
from lynx_cl.data.example import Example
from lynx_cl.errors import LynxError

_MARKS = ("\u2460", "\u2461", "\u2462", "\u2463")  # stand for question, answer, question, answer in the template

_PLAIN = "give the base one with plain turns (lynx-cl base add FOLDER --chat-template FILE)"

Turn = tuple[list[int], list[int]]


@dataclass(frozen=True)
class Template:
    """A chat template's fixed parts: picture QUESTION ask ANSWER close, then again QUESTION ... after `again`.

    `picture` ends with the image token, `first` follows it up to the question, `lead` stands between the end of the
    generation prompt and the answer. `end` ends an answer where the template's `close` does not: it is the
    end-of-text token where that holds no special token, else empty. An example without a picture begins with `bare`
    in the place of `picture` and `first`; None where the template writes no such question.

    A template may take empty reasoning out of earlier answers (Qwen3's) or of all (QwQ's, Gemma 4's). Each answer is
    written here behind what asks for one, whichever turn it is in.
    """

    picture: str
    first: str
    ask: str
    lead: str
    close: str
    again: str
    end: str = ""
    bare: str | None = None

    def write(self, example: Example) -> tuple[str, list[int]]:
        """A whole conversation, and where in it each question and each answer begins and the last answer ends.

        An answer begins where a generation prompt ends. Raises LynxError where the template cannot ask as the example
        does.
        """
        if example.image is None and self.bare is None:
            raise LynxError(f"chat template: it writes no question without a picture; {_PLAIN}")
        start, first = (self.picture, self.first) if example.image is not None else ("", self.bare or "")
        text = start
        places = [len(text)]
        for number, step in enumerate(example.steps):
            text += (self.again if number else first) + step.question + self.ask
            places.append(len(text))
            text += self.lead + step.answer + self.end + self.close
            places.append(len(text))
        return text, places


def read_template(processor: Any) -> Template:
    """Takes a processor's chat template apart. Raises LynxError where its turns do not follow one another as text."""
    token = processor.image_token

    def rendered(turns: int, prompt: bool = False, picture: bool = bool(token)) -> str:
        roles = itertools.cycle(("user", "assistant"))
        pictures = [int(picture), 0, 0, 0]
        said = [message(role, mark, n) for role, mark, n in zip(roles, _MARKS[:turns], pictures, strict=False)]
        return render(processor, said, prompt=prompt)

    whole, one, asked = rendered(4), rendered(2), rendered(1, prompt=True)
    try:
        before, rest = whole.split(_MARKS[0])
        between, rest = rest.split(_MARKS[1])
        after, rest = rest.split(_MARKS[2])
        ask = asked.split(_MARKS[0])[1]
        own, close = one.split(_MARKS[0])[1].split(_MARKS[1])
        picture, first = before.split(token) if token else (before, "")
        again = after.removeprefix(close)
    except ValueError:
        raise LynxError(f"chat template: its turns cannot be told apart; {_PLAIN}") from None
    second, end = rest.split(_MARKS[3])
    alike = {between, second} <= {own, without_reasoning(own)}
    if ask.startswith(own) or without_reasoning(ask) == without_reasoning(own):  # what a prompt has more is reasoning
        own = ask
    if not (alike and own.startswith(ask) and after.startswith(close) and end == close):
        raise LynxError(f"chat template: a later turn changes an earlier one; {_PLAIN}")
    ends = any(special in close for special in special_tokens(processor))  # else a bank would never learn to stop
    return Template(
        picture + (token or ""),
        first,
        ask,
        own[len(ask) :],
        close,
        again,
        "" if ends else _end(processor),
        before if not token else _bare(rendered),
    )


def _bare(rendered: Callable[..., str]) -> str | None:
    """What stands before a question about no picture."""
    try:
        before, *rest = rendered(1, prompt=True, picture=False).split(_MARKS[0])
    except (TemplateError, ValueError, TypeError, KeyError):
        return None
    return before if len(rest) == 1 else None


def special_tokens(processor: Any) -> dict[str, int]:
    """The special tokens of a processor's tokenizer, and their numbers."""
    added = getattr(getattr(processor, "tokenizer", None), "added_tokens_decoder", {})
    return {token.content: number for number, token in added.items() if token.special and token.content.strip()}


def stops(processor: Any) -> list[int]:
    """The tokens that end an answer as it was learned: the special ones with which the template closes a turn.

    None for a template that cannot be taken apart: no bank has learned from that.
    """
    try:
        template = template_of(processor)
    except LynxError:
        return []
    closing = template.end + template.close
    return sorted(number for token, number in special_tokens(processor).items() if token in closing)


def _end(processor: Any) -> str:
    return str(getattr(getattr(processor, "tokenizer", None), "eos_token", None) or "")


_templates: dict[int, tuple[Any, Template]] = {}


def template_of(processor: Any) -> Template:
    """`read_template`, once a processor."""
    known = _templates.get(id(processor))
    if known is None or known[0] is not processor:
        known = (processor, read_template(processor))
        _templates[id(processor)] = known
    return known[1]


def cut_tokens(tokenizer: Any, texts: Sequence[str], cuts: Sequence[Sequence[int]]) -> list[list[list[int]]]:
    """The tokens between the given places of each text, from one call of the tokenizer.

    A text is tokenised whole and cut: pieces alone could come out otherwise. Raises LynxError for a tokenizer that
    cannot say which characters a token stands for.
    """
    if not tokenizer.is_fast:
        raise LynxError(f"collate: {type(tokenizer).__name__} gives no offsets; use the tokenizer's fast form")
    made = tokenizer(list(texts), add_special_tokens=False, return_offsets_mapping=True)
    pieces = []
    for places, ids, offsets in zip(cuts, made["input_ids"], made["offset_mapping"], strict=True):
        ends = [end for _, end in offsets]
        marks = [bisect_right(ends, place) for place in places]
        pieces.append([ids[first:last] for first, last in itertools.pairwise(marks)])
    return pieces
