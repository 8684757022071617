"""Prompts and responses in words alone: every way to write them, what is broken, and what a base reads of them."""

from __future__ import annotations

import json

import pytest
import torch

from lynx_cl.base.chat import chat_text
from lynx_cl.base.processor import TextProcessor
from lynx_cl.data.built import build
from lynx_cl.data.collate import encode
from lynx_cl.data.example import SPLITS
from lynx_cl.data.page import sample_page
from lynx_cl.data.readers import problems
from lynx_cl.data.sheet import contact_sheet
from lynx_cl.data.sources import open_source
from lynx_cl.errors import LynxError, UsageError
from lynx_cl.tasks import load_card
from tests.data.folders import processor, write_llava
from tests.data.thinking import QWEN3, tokenizer


def write(folder, records, name="text.jsonl"):
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(json.dumps(one) if not isinstance(one, str) else one for one in records) + "\n")
    return file


def pairs(count=60):
    return [{"prompt": f"What follows {number}?", "response": str(number + 1)} for number in range(count)]


def first(tmp_path, record):
    """The example that a record gives."""
    source = open_source(f"text:{write(tmp_path, [record] + pairs())}")
    turns = {e.prompt: e for split in SPLITS for e in source.examples(split)}
    (other,) = set(turns) - {one["prompt"] for one in pairs()}
    return turns[other]


@pytest.mark.parametrize(
    ("record", "prompt", "answer"),
    [
        ({"prompt": "Hi", "response": "Hello"}, "Hi", "Hello"),
        ({"prompt": "Hi", "completion": " Hello\n"}, "Hi", "Hello"),
        ({"question": "2 + 2?", "answer": 4}, "2 + 2?", "4"),
        ({"instruction": "Add.", "input": "2, 2", "output": "4"}, "Add.\n\n2, 2", "4"),
        ({"instruction": "Add.", "input": "", "output": "4"}, "Add.", "4"),
        (
            {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]},
            "Hi",
            "Hello",
        ),
        (
            {
                "messages": [
                    {"role": "system", "content": "Be brief."},
                    {"role": "user", "content": [{"type": "text", "text": "H"}, {"type": "text", "text": "i"}]},
                    {"role": "assistant", "content": "Hello"},
                ]
            },
            "Be brief.\n\nHi",
            "Hello",
        ),
        ({"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]}, "Hi", "Hello"),
    ],
)
def test_every_way_to_write_a_record(tmp_path, record, prompt, answer):
    example = first(tmp_path, record)
    assert (example.prompt, example.steps[-1].answer, example.image) == (prompt, answer, None)
    assert example.picture() is None
    with pytest.raises(LynxError, match="is about no picture"):
        example.open()


def test_several_accepted_answers_and_turns(tmp_path):
    listed = first(tmp_path, {"question": "Hi", "answer": ["a", "b", "b"], "kind": "greeting"})
    assert listed.references == ("a", "b", "b") and listed.steps[-1].answer == "b" and listed.kind == "greeting"
    turns = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(("Hi", "a", "Bye", "b"))]
    file = write(tmp_path / "turns", [{"messages": turns}])
    write(tmp_path / "turns", pairs(3), "test.jsonl")
    source = open_source(f"text:{file}?test=test.jsonl&calibration=test.jsonl")
    (example,) = source.examples("train")
    assert [(s.question, s.answer) for s in example.steps] == [("Hi", "a"), ("Bye", "b")]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ("{", "no JSON"),
        ([1], "a record is an object"),
        ({"text": "x"}, "has neither 'messages' nor 'prompt' and 'response' or"),
        ({"prompt": " ", "response": "a"}, "'prompt' holds no text"),
        ({"prompt": "Hi", "response": None}, "'response' holds no text"),
        ({"question": "Hi", "answer": []}, "'answer' is an empty list"),
        ({"prompt": "Hi", "response": "a", "image": "a.png"}, "is about a picture; give such records as llava:FILE"),
        ({"messages": "Hi"}, "'messages' is no list of turns"),
        ({"messages": [{"role": "user", "content": "Hi"}]}, "no row of questions, each with its answer"),
        ({"messages": [{"role": "tool", "content": "Hi"}, {"role": "assistant", "content": "a"}]}, "no row of"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "a turn holds more than text"),
    ],
)
def test_broken_records_are_told_by_line(tmp_path, record, message):
    file = write(tmp_path, [*pairs(), record])
    (told,) = problems(f"text:{file}")
    assert told.startswith(f"{file}, line 61: ") and message in told
    with pytest.raises(LynxError, match="1 of 61 records are broken"):
        open_source(f"text:{file}").summary()
    assert open_source(f"text:{file}?max_broken=0.02").remarks()[0].startswith("1 of 61 records are broken")


def test_no_prompt_is_in_two_splits_and_the_digest_follows_the_words(tmp_path):
    file = write(tmp_path, pairs(100) + pairs(100))
    source = open_source(f"text:{file}")
    asked = {split: {e.prompt for e in source.examples(split)} for split in SPLITS}
    assert sum(map(len, asked.values())) == 100 and all(asked.values())
    before = source.digest()
    write(tmp_path, [*pairs(100), *pairs(99), {"prompt": "x", "response": "y"}])
    assert open_source(f"text:{file}").digest() != before
    write(tmp_path, pairs(20), "test.jsonl")
    source = open_source(f"text:{file}?test=test.jsonl")
    assert source.summary()["pictures"]["test"] == 20
    assert source.remarks() == ["40 of 220 records are about pictures or prompts of another split; left out of train"]


def test_pages_and_built_sets(tmp_path):
    source = open_source(f"text:{write(tmp_path, pairs())}")
    assert sample_page(source, "train", 3, tmp_path / "page.html") == 3
    page = (tmp_path / "page.html").read_text()
    assert page.count("What follows") == 3 and "<img" not in page
    assert contact_sheet(source, "train", 3, tmp_path / "sheet.png") == 3
    again = open_source(f"built:{build(source, tmp_path / 'out', images=True)}", load_card("instruct"))
    for split in SPLITS:
        assert [e.steps for e in again.examples(split)] == [e.steps for e in source.examples(split)]
        assert all(example.image is None for example in again.examples(split))
    with pytest.raises(UsageError, match="holds questions and answers; task 'grounding'"):
        open_source(source.name, load_card("grounding"))


def learned(made, batch, row=0):
    return made.tokenizer.decode(batch.labels[row][batch.step_ids[row] >= 0])


def test_a_base_that_reads_text_alone_learns_the_answers(tmp_path):
    examples = list(open_source(f"text:{write(tmp_path, pairs())}").examples("train"))[:3]
    made = TextProcessor(tokenizer(QWEN3))
    batch = encode(made, examples, pack=False)
    assert batch.pixel_values is None
    for row, example in enumerate(examples):
        assert learned(made, batch, row).split("<|im_end|>")[0].strip() == example.steps[-1].answer


def test_a_base_that_reads_pictures_learns_words_alone_as_it_is_asked_them(tmp_path):
    examples = list(open_source(f"text:{write(tmp_path, pairs())}").examples("train"))[:3]
    batch = encode(processor(), examples, pack=True)
    assert batch.pixel_values is None and batch.input_ids.shape[0] == 3
    for row, example in enumerate(examples):
        start = int((batch.labels[row] >= 0).nonzero()[0])
        asked = processor().tokenizer(chat_text(processor(), example.prompt, False), add_special_tokens=False)
        assert batch.input_ids[row, :start].tolist() == asked["input_ids"]
    pictured = list(open_source(f"llava:{write_llava(tmp_path)}?images=images").examples("train"))[:1]
    with pytest.raises(LynxError, match="3 of 4 examples of a batch are about no picture"):
        encode(processor(), [*examples, *pictured], pack=True)
    assert torch.equal(encode(processor(), examples, pack=False).input_ids, batch.input_ids)
