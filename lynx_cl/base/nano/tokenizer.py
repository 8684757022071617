"""nano's tokenizer: byte-level BPE, so that any text is representable; every number to 99 is one token."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lynx_cl.base.nano import questions
from lynx_cl.data.scenes import COCO, LONG_TAIL, make_scene

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

VOCABULARY = 1536
SPECIAL = ("<pad>", "<s>", "<|user|>", "<|assistant|>", "<|end|>", "<image>", "<unk>")
#: A picture, then turns. The same string is what `apply_chat_template` makes of messages.
CHAT_TEMPLATE = (
    "{{ '<s>' }}{% for message in messages %}"
    "{% if message['content'] is string %}{% set parts = [{'type': 'text', 'text': message['content']}] %}"
    "{% else %}{% set parts = message['content'] %}{% endif %}"
    "{% for part in parts %}{% if part['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}"
    "{{ '<|user|>' if message['role'] == 'user' else '<|assistant|>' }}"
    "{% for part in parts %}{% if part['type'] == 'text' %}{{ ' ' + part['text'] }}{% endif %}{% endfor %}"
    "{{ '<|end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
#: Words that later tasks are asked in. nano never learns their meaning; it only should not spell them in bytes.
ENGLISH = """
the a an of in on at to from by with and or not is are was be has have do does can could would will please me my you
your it its this that these those here there where what which who how why when find locate point out mark draw box
boxes bounding rectangle around exact exactly position coordinates give return output tell show say name list put
answer question request image picture photo photograph scene object objects thing things item items one two three
four five six seven eight nine ten first second third last leftmost rightmost topmost lowest highest nearest closest
largest smallest biggest tallest near next beside between above below under over left right top bottom middle center
corner edge side up down all every each any some many much number count counting detect detection ground grounding
region area outline frame spot place spots mark highlight identify indicate detected search look looking need want
read word text letter letters compare comparison larger smaller further more fewer less than most least same different
white red blue green yellow black brown gray pink purple orange cell cells blood microscope platelet platelets slide
caption describe description relation relative step think relevant because so therefore then step-by-step visible
yes no none left: right: top: bottom: x y width height label labels
"""


def corpus(count: int = 6000) -> Iterator[str]:
    """Text that the merges are learned from: the pretraining questions, numbers, category names, plain English."""
    rng = random.Random(0)
    for index in range(count):
        for made in questions.questions(make_scene("pretrain", 0, index), 6, rng):
            yield f" {made.question} {made.answer}"
    for _ in range(300):
        yield " " + " ".join(str(n) for n in range(100))
        yield "[" + ",".join(str(n) for n in range(100)) + "]"
    for _ in range(200):
        yield " " + ENGLISH.replace("\n", " ")
        yield " " + " ".join(word.capitalize() for word in ENGLISH.split())
        yield " " + " ".join(c.name for c in COCO + LONG_TAIL) + " " + " ".join(c.plural for c in COCO + LONG_TAIL)


def train(texts: Iterator[str] | None = None) -> PreTrainedTokenizerFast:
    """The tokenizer, trained; same result on every machine."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    split = Regex(r" ?\p{L}+| ?\p{N}{1,2}| ?[^\s\p{L}\p{N}]|\s+(?!\S)|\s+")
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(split, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(texts or corpus(), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="<|end|>",
        unk_token="<unk>",
        extra_special_tokens={"image_token": "<image>"},
        model_max_length=1024,
        padding_side="left",
        chat_template=CHAT_TEMPLATE,
    )


def number_ids(tokenizer: PreTrainedTokenizerFast) -> dict[int, list[int]]:
    """Token ids of each number 0..99, with and without the space before it."""
    ids: dict[int, list[int]] = {}
    for number in range(100):
        forms = [tokenizer.encode(text, add_special_tokens=False) for text in (f" {number}", str(number))]
        ids[number] = [form[0] for form in forms if len(form) == 1]
    return ids


def load_or_train(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer in a folder; trained and saved there first, if it is not there yet."""
    from transformers import PreTrainedTokenizerFast

    if not (folder / "tokenizer.json").exists():
        train().save_pretrained(folder)
    return PreTrainedTokenizerFast.from_pretrained(folder)
