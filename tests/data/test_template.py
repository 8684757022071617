"""Chat templates of bases that reason: what is learned is what is asked for, and no reasoning is in either."""

from __future__ import annotations

import pytest

from lynx_cl.base.chat import chat_text, render
from lynx_cl.base.processor import TextProcessor
from lynx_cl.data.collate import encode
from lynx_cl.data.example import Example, Provenance, Step
from lynx_cl.data.template import read_template, stops
from lynx_cl.errors import LynxError
from tests.data.thinking import HIDDEN, NO_SWITCH, OPENED, QWEN3, tokenizer

EMPTY = "<think>\n\n</think>\n\n"
ASKED = "<|im_start|>user\nHow far?<|im_end|>\n<|im_start|>assistant\n"


def example(*turns: tuple[str, str]) -> Example:
    steps = tuple(Step(question, answer) for question, answer in turns)
    return Example(None, steps, (), "far", "train", "1", Provenance("text", "people", "none"))


@pytest.mark.parametrize("template", [QWEN3, NO_SWITCH, OPENED, HIDDEN], ids=["qwen3", "no switch", "opened", "hidden"])
def test_answers_are_learned_behind_the_prompt_that_asks_for_them(template):
    made = TextProcessor(tokenizer(template))
    prompt = chat_text(made, "How far?", False)
    assert prompt == ASKED + EMPTY
    batch = encode(made, [example(("How far?", "two miles"), ("And back?", "four"))], pack=False)
    learned = [made.tokenizer.decode(batch.labels[0][batch.labels[0] >= 0])]
    assert learned == ["two miles<|im_end|>\nfour<|im_end|>\n"]
    start = int((batch.labels[0] >= 0).nonzero()[0])
    assert made.tokenizer.decode(batch.input_ids[0, :start]) == prompt
    assert stops(made) == [made.tokenizer.convert_tokens_to_ids("<|im_end|>")]


def test_one_turn_is_written_as_the_template_does():
    made = TextProcessor(tokenizer(QWEN3))
    turns = [{"role": r, "content": [{"type": "text", "text": t}]} for r, t in (("user", "Hi"), ("assistant", "Oh"))]
    assert read_template(made).write(example(("Hi", "Oh")))[0] == render(made, turns, prompt=False)
    assert EMPTY in render(made, turns, prompt=False)


def test_what_is_more_than_reasoning_is_still_refused():
    other = QWEN3.replace("m.role == 'assistant' and", "").replace("<think>\\n\\n</think>", "(last)")
    with pytest.raises(LynxError, match="a later turn changes an earlier one"):
        read_template(TextProcessor(tokenizer(other)))
