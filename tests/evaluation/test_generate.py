"""Batched greedy answers: each its own whatever the batch, each by its own bank, the same as transformers' own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import LlavaProcessor, PreTrainedTokenizerFast
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from lynx_cl.banks.attach import attach
from lynx_cl.banks.base import build_bank
from lynx_cl.base.chat import chat_text
from lynx_cl.base.load import Base
from lynx_cl.base.taps import find_taps
from lynx_cl.errors import UsageError
from lynx_cl.evaluation import generate
from lynx_cl.evaluation.generate import Request, answer, answer_weighed
from tests.banks.test_attach import disturbed
from tests.families.tiny import SIDE, VOCABULARY, tiny_base

SPECIAL = ["<pad>", "<s>", "<end>", "<image>", "<user>", "<assistant>"]
TEMPLATE = (
    "{{ '<s>' }}{% for part in messages[0]['content'] %}{% if part['type'] == 'image' %}{{ '<image>' }}"
    "{% else %}{{ '<user> ' + part['text'] }}{% endif %}{% endfor %}{{ '<assistant>' }}"
)


def processor(said: Sequence[str] = ()) -> LlavaProcessor:
    """`said` and words w0, w1, ... to a token each; like Llama's, its tokenizer writes <s> by itself."""
    words = SPECIAL + ["w0", *said]
    words += [f"w{i}" for i in range(1, VOCABULARY - len(words) + 1)]
    raw = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="w0"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    raw.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="<end>",
        extra_special_tokens={"image_token": "<image>", "user_token": "<user>", "assistant_token": "<assistant>"},
    )
    return LlavaProcessor(
        image_processor=ViTImageProcessorPil(size={"height": SIDE, "width": SIDE}),
        tokenizer=tokenizer,
        patch_size=8,
        vision_feature_select_strategy="full",
        chat_template=TEMPLATE,
        num_additional_image_tokens=0,
    )


@pytest.fixture(scope="module")
def base() -> Base:
    return replace(tiny_base(), processor=processor())


def picture(seed: int, size: tuple[int, int] = (SIDE, SIDE)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


REQUESTS = [
    Request(" ".join(f"w{(7 * i + j) % 50}" for j in range(1 + i % 4)), picture(i, (20 + i, 40 - i)) if i % 5 else None)
    for i in range(14)
]


def alone(base: Base, request: Request, tokens: int) -> str:
    """Transformers' own generate, on one request."""
    images: Any = [[request.image]] if request.image is not None else None
    text = [chat_text(base.processor, request.text, request.image is not None)]
    inputs = base.processor(text=text, images=images, return_tensors="pt", add_special_tokens=False)
    with torch.no_grad():
        output = base.model.generate(**inputs, max_new_tokens=tokens, do_sample=False)
    return base.processor.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip()


def test_answers_are_those_of_transformers(base: Base) -> None:
    plain = answer(base, None, REQUESTS, [None] * len(REQUESTS), max_new_tokens=6)
    assert plain == [alone(base, request, 6) for request in REQUESTS]
    assert len(set(plain)) > 5


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_batch_size_and_order_change_nothing(base: Base, batch_size: int) -> None:
    expected = answer(base, None, REQUESTS, [None] * len(REQUESTS), max_new_tokens=6)
    turned = answer(base, None, REQUESTS[::-1], [None] * len(REQUESTS), max_new_tokens=6, batch_size=batch_size)
    assert turned[::-1] == expected


@pytest.mark.parametrize("batch_size", [1, 2, 7])
def test_weighed_answers_hold_the_probability_of_each_token(base: Base, batch_size: int) -> None:
    said = answer_weighed(base, None, REQUESTS, [None] * len(REQUESTS), max_new_tokens=6, batch_size=batch_size)
    assert [one.text for one in said] == answer(base, None, REQUESTS, [None] * len(REQUESTS), max_new_tokens=6)
    for request, one in zip(REQUESTS, said, strict=True):
        words = [one.text[start:end].strip() for start, end in one.spans]
        assert " ".join(filter(None, words)) == one.text
        images: Any = [[request.image]] if request.image is not None else None
        text = [chat_text(base.processor, request.text, request.image is not None)]
        inputs = base.processor(text=text, images=images, return_tensors="pt", add_special_tokens=False)
        shape = inputs["input_ids"].shape[1]
        with torch.no_grad():
            whole = base.model.generate(**inputs, max_new_tokens=6, do_sample=False)
            others = {name: value for name, value in inputs.items() if name not in ("input_ids", "attention_mask")}
            logits = base.model(input_ids=whole, **others).logits[0].log_softmax(-1)
        new = whole[0, shape:].tolist()
        expected = [float(logits[shape + step - 1, token]) for step, token in enumerate(new) if token != 2]
        assert one.logs == pytest.approx(expected, abs=1e-4)


def test_each_request_is_answered_by_its_own_bank(base: Base) -> None:
    taps = find_taps(base.model)
    plain = answer(base, None, REQUESTS, [None] * len(REQUESTS), max_new_tokens=6)
    with attach(base.model, taps) as attachment:
        for seed, name in enumerate(("a", "b")):
            attachment.add(name, disturbed(build_bank("twin", taps, base.model, {}, seed), seed))
        whole = {n: answer(base, attachment, REQUESTS, [n] * len(REQUESTS), max_new_tokens=6) for n in ("a", "b")}
        banks = [("a", None, "b")[i % 3] for i in range(len(REQUESTS))]
        mixed = answer(base, attachment, REQUESTS, banks, max_new_tokens=6)
        with pytest.raises(UsageError, match="'c' is not attached"):
            answer(base, attachment, REQUESTS[:1], ["c"])
    assert mixed == [whole[bank][i] if bank else plain[i] for i, bank in enumerate(banks)]
    assert whole["a"] != plain and whole["a"] != whole["b"]


def test_a_request_is_answered_by_a_mix_of_banks(base: Base) -> None:
    taps = find_taps(base.model)
    whole = [{"a": 1.0}, None, {"base": 1.0}]
    mixes = [{"a": 0.5, "b": 0.5}, "b", {"a": 0.3, "base": 0.7}]
    with attach(base.model, taps) as attachment:
        for seed, name in enumerate(("a", "b")):
            attachment.add(name, disturbed(build_bank("twin", taps, base.model, {}, seed), seed))
        named = answer(base, attachment, REQUESTS, [("a", None, None)[i % 3] for i in range(14)], max_new_tokens=6)
        assert answer(base, attachment, REQUESTS, [whole[i % 3] for i in range(14)], max_new_tokens=6) == named
        owners = [mixes[i % 3] for i in range(14)]
        mixed = answer(base, attachment, REQUESTS, owners, max_new_tokens=6)
        single = answer(base, attachment, REQUESTS, owners, max_new_tokens=6, batch_size=1)
        with pytest.raises(UsageError, match="sum to 1.2"):
            answer(base, attachment, REQUESTS[:1], [{"a": 0.6, "b": 0.6}])
    assert mixed == single and mixed[::3] != named[::3]
    with pytest.raises(ValueError, match="none is attached"):
        answer(base, None, REQUESTS[:1], [{"a": 0.5}])


def test_the_template_s_own_start_is_not_doubled(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    original = base.model.generate

    def spy(**inputs: Any) -> torch.Tensor:
        seen.append(inputs["input_ids"])
        return original(**inputs)

    monkeypatch.setattr(base.model, "generate", spy)
    answer(base, None, REQUESTS[:3], [None] * 3, max_new_tokens=1)
    assert len(seen) == 3 and all(((ids == 1).sum(1) == 1).all() for ids in seen)


def test_rows_of_unequal_length_are_padded_on_the_left(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    pictured = [request for request in REQUESTS if request.image is not None]
    nobody = [None] * len(pictured)
    expected = answer(base, None, pictured, nobody, max_new_tokens=6)
    monkeypatch.setattr(generate, "_together", lambda *_: [tuple(range(len(pictured)))])
    assert answer(base, None, pictured, nobody, max_new_tokens=6) == expected


def test_no_special_token_and_no_space_around(base: Base) -> None:
    for text in answer(base, None, REQUESTS, [None] * len(REQUESTS), max_new_tokens=6):
        assert text == text.strip() and "<" not in text


def test_a_half_precision_base_gets_its_pictures_in_half_precision(base: Base) -> None:
    half = replace(tiny_base(), processor=base.processor)
    half.model.to(torch.bfloat16)
    assert len(answer(half, None, REQUESTS[:4], [None] * 4, max_new_tokens=2)) == 4


def test_nothing_asked_and_wrong_calls(base: Base) -> None:
    assert answer(base, None, [], []) == []
    with pytest.raises(ValueError, match="banks for 0"):
        answer(base, None, REQUESTS[:1], [])
    with pytest.raises(ValueError, match="none is attached"):
        answer(base, None, REQUESTS[:1], ["a"])
