"""Chat templates in the manner of bases that reason before they answer, and a tokenizer for them."""

from __future__ import annotations

from typing import Any

_HEAD = """{%- set last = namespace(question=0) %}
{%- for m in messages %}{% if m.role == 'user' %}{% set last.question = loop.index0 %}{% endif %}{% endfor %}
{%- for m in messages %}
{%- set content = m.content if m.content is string else m.content | map(attribute='text') | join %}
{{- '<|im_start|>' + m.role + '\\n' }}"""
_TAIL = """{{- content + '<|im_end|>\\n' }}{% endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}"""
_EMPTY = "{{- '<think>\\n\\n</think>\\n\\n' }}"
_OF_LAST = "{%- if m.role == 'assistant' and loop.index0 > last.question %}" + _EMPTY + "{% endif %}"

#: An answer after the last question has empty reasoning before it, an earlier one has none; a prompt has it if told so.
QWEN3 = (
    _HEAD
    + _OF_LAST
    + _TAIL
    + "{% if enable_thinking is defined and not enable_thinking %}"
    + _EMPTY
    + "{% endif %}{% endif %}"
)
#: The same without the switch: a prompt leaves the reasoning to the model.
NO_SWITCH = _HEAD + _OF_LAST + _TAIL + "{% endif %}"
#: As of models that always reason: a prompt opens the reasoning.
OPENED = _HEAD + _OF_LAST + _TAIL + "{{- '<think>\\n' }}{% endif %}"
#: Opens the reasoning in a prompt and writes no trace of it in a conversation.
HIDDEN = _HEAD + _TAIL + "{{- '<think>\\n' }}{% endif %}"


def tokenizer(template: str) -> Any:
    """A tokenizer of bytes with the special tokens of these templates; <think> is a token, and not special."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    raw = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(letters)}, merges=[]))
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    raw.add_special_tokens(["<|im_start|>", "<|im_end|>", "<|endoftext|>"])
    raw.add_tokens([AddedToken("<think>"), AddedToken("</think>")])
    return PreTrainedTokenizerFast(
        tokenizer_object=raw, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=template
    )
