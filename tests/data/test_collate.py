"""Batches: the text is that of the chat template, exactly the answers are learned, packing changes no conversation."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lynx_cl.base.nano.packing import IGNORE
from lynx_cl.data.collate import encode
from lynx_cl.data.example import Example, Step
from lynx_cl.data.sources import open_source
from lynx_cl.data.template import read_template, stops
from lynx_cl.errors import LynxError
from lynx_cl.tasks import load_card
from tests.data.folders import processor


@pytest.fixture(scope="module")
def groups():
    return list(open_source("scout", load_card("grounding"), seed=1, limit=12).groups("train"))


def chat(example: Example) -> str:
    """The whole conversation, by the template itself."""
    turns = []
    for number, step in enumerate(example.steps):
        content = [{"type": "image"}] if number == 0 else []
        turns.append({"role": "user", "content": [*content, {"type": "text", "text": step.question}]})
        turns.append({"role": "assistant", "content": [{"type": "text", "text": step.answer}]})
    return processor().apply_chat_template(turns, tokenize=False)


def whole_ids(example: Example) -> list[int]:
    """The tokens of the whole conversation, by the processor itself."""
    made = processor()(text=[chat(example)], images=[[example.open()]], return_tensors="pt", add_special_tokens=False)
    return made["input_ids"][0].tolist()


def test_rows_are_what_the_template_writes(groups):
    examples = [example for group in groups[:4] for example in group]
    batch = encode(processor(), examples, pack=False)
    for row, example in enumerate(examples):
        real = batch.attention_mask[row].bool()
        assert batch.input_ids[row][real].tolist() == whole_ids(example)
        assert not real[int(real.sum()) :].any()  # padded on the right
    assert batch.position_ids is None


def test_answers_and_only_answers_are_learned(groups):
    examples = [example for group in groups for example in group]
    batch = encode(processor(), examples, pack=False)
    decode = processor().tokenizer.decode
    assert batch.step_names[:3] == ["relevant", "where", "answer"]
    for row, example in enumerate(examples):
        steps = batch.step_ids[row]
        assert torch.equal(steps >= 0, batch.labels[row] != IGNORE)
        for step in example.steps:
            column = batch.step_names.index(step.name)
            answer = batch.labels[row][steps == column]
            assert decode(answer).strip() == f"{step.answer}<|end|>"
            assert torch.equal(answer, batch.input_ids[row][steps == column])
            assert batch.step_weights[row, column] == step.weight
        assert set(steps[steps >= 0].tolist()) == {batch.step_names.index(step.name) for step in example.steps}


def test_packed_rows_hold_the_same_conversations(groups):
    examples = [example for group in groups[:3] for example in group]
    batch = encode(processor(), examples, pack=True)
    assert batch.pixel_values.shape == (3, 3, 96, 96)
    assert batch.step_weights.shape == (3, len(batch.step_names))
    for row, group in enumerate(groups[:3]):
        for number, example in enumerate(group):
            last = number * 3 + 2
            asked = int(
                (batch.step_ids[row] == last).nonzero()[-1]
            )  # the last answer token sees its whole conversation
            sees = batch.attention_mask[row, 0, asked]
            assert batch.input_ids[row][sees].tolist() == whole_ids(example)
            assert batch.position_ids[row][sees].tolist() == list(range(int(sees.sum())))
    single = encode(processor(), examples, pack=False)
    assert (batch.labels != IGNORE).sum() == (single.labels != IGNORE).sum()


def test_without_a_picture_shared_packing_changes_nothing(groups):
    example = groups[0][0]
    packed, plain = (encode(processor(), [example], pack=pack) for pack in (True, False))
    assert torch.equal(packed.input_ids, plain.input_ids) and torch.equal(packed.labels, plain.labels)
    assert torch.equal(packed.pixel_values, plain.pixel_values)


def test_the_prompt_is_what_generation_sees(groups):
    example = groups[0][0]
    turns = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": example.prompt}]}]
    text = processor().apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    ids = processor()(text=[text], images=[[example.open()]], return_tensors="pt", add_special_tokens=False)[
        "input_ids"
    ]
    batch = encode(processor(), [example], pack=False)
    first = int((batch.labels[0] != IGNORE).nonzero()[0])
    assert batch.input_ids[0][:first].tolist() == ids[0].tolist()


class Rewriting:
    """A processor whose template drops the first question once there is a second, as some do with their reasoning."""

    image_token = "<image>"
    chat_template = "its own"

    def apply_chat_template(self, messages, add_generation_prompt, tokenize):
        users = [m for m in messages if m["role"] == "user"]
        texts = ["".join(part.get("text", "<image>") for part in m["content"]) for m in messages]
        if len(users) > 1:
            texts[0] = "<image>" + texts[0].removeprefix("<image>")[::-1] + "!"
        return "|".join(texts) + ("|" if add_generation_prompt else "")


def test_a_template_that_rewrites_its_turns_is_refused():
    with pytest.raises(LynxError, match="chat template: .*turn"):
        read_template(Rewriting())


def test_an_answer_ends_where_its_template_does_not_end_it(groups):
    """LLaVA-1.5's template closes a turn with a space: a bank that learned that would never stop."""
    other = metaspace_processor()
    assert "</s>" in other.chat_template and stops(other) == [other.tokenizer.convert_tokens_to_ids("</s>")]
    other.chat_template = other.chat_template.replace("'</s>'", "' '")
    example = replace(groups[0][0], steps=groups[0][0].steps[-1:])
    batch = encode(other, [example], pack=False)
    learned = other.tokenizer.decode(batch.labels[0][batch.step_ids[0] >= 0])
    assert learned.strip().endswith("</s>") and stops(other) == [other.tokenizer.eos_token_id]


def test_nothing_to_encode(groups):
    with pytest.raises(LynxError, match="no examples"):
        encode(processor(), [], pack=True)


def test_any_text_is_encoded(groups):
    odd = replace(groups[0][0], steps=(Step("Wo ist der Bär? \u2460 {x}", "hier: <|end|>"),))
    batch = encode(processor(), [odd], pack=False)
    assert (batch.labels != IGNORE).any()


def metaspace_processor():
    """A processor of the Llama kind: a word carries its space, so pieces tokenise otherwise than the whole."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import LlavaProcessor, PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE(unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=["<unk>", "<pad>", "<s>", "</s>", "<image>"])
    raw.train_from_iterator(["USER: find the dog ASSISTANT: left 12 top 34 right 50 bottom 99 678 "] * 27, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        unk_token="<unk>",
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        extra_special_tokens={"image_token": "<image>"},
    )
    template = (
        "{% for m in messages %}{{ m['role'].upper() }}: {% for part in m['content'] %}"
        "{{ '<image>' if part['type'] == 'image' else part['text'] }}{% endfor %}"
        "{{ ' ' if m['role'] == 'user' else '</s>' }}{% endfor %}{% if add_generation_prompt %}ASSISTANT: {% endif %}"
    )
    return LlavaProcessor(
        image_processor=processor().image_processor,
        tokenizer=tokenizer,
        patch_size=16,
        vision_feature_select_strategy="full",
        chat_template=template,
        num_additional_image_tokens=0,
    )


def test_a_tokenizer_that_splits_by_context(groups):
    other = metaspace_processor()
    answer = groups[0][0].steps[-1]
    steps = (Step("find the dog", "left 1 top 2 right 3 bottom 4", 1.0, "where"), answer)
    example = replace(groups[0][0], steps=steps)
    batch = encode(other, [example], pack=False)
    turns = []
    for number, step in enumerate(steps):
        content = [{"type": "image"}] if number == 0 else []
        turns.append({"role": "user", "content": [*content, {"type": "text", "text": step.question}]})
        turns.append({"role": "assistant", "content": [{"type": "text", "text": step.answer}]})
    whole = other(text=[other.apply_chat_template(turns, tokenize=False)], images=[[example.open()]])["input_ids"][0]
    assert batch.input_ids[0].tolist() == whole
    for step in steps:
        column = batch.step_names.index(step.name)
        learned = other.tokenizer.decode(batch.labels[0][batch.step_ids[0] == column])
        assert "".join(learned.replace("\u2581", " ").split()) == "".join(f"{step.answer}</s>".split())
