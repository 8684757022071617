"""Where banks act: exact starts, exact base rows, one bank a row, generation, and errors for what does not fit."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lynx_cl.banks.attach import Attachment, Owner, attach
from lynx_cl.banks.base import Bank, Frozen, Part, build_bank
from lynx_cl.base.settings import Settings
from lynx_cl.base.taps import find_taps
from lynx_cl.errors import LynxError, UsageError
from tests.families.tiny import HIDDEN, IMAGE_TOKEN, tiny_inputs, tiny_llava

BANKS = [
    ("twin", {}),
    ("twin", {"experts": 1, "top_k": 1}),
    ("lora", {}),
    ("lora", {"experts": 1, "attention": True}),
    ("lora", {"attention": True, "attention_layers": "taps"}),
    ("block", {"blocks": 4}),
]
FAMILIES = ["qwen3_moe", "llama", "phi", "phi3"]


def disturbed(bank: Bank, seed: int = 0) -> Bank:
    """The bank with random parameters, as if trained."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in bank.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return bank.requires_grad_(False)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("kind", "config"), BANKS)
def test_an_untrained_bank_is_the_base_bit_for_bit(family: str, kind: str, config: dict) -> None:
    model = tiny_llava(family)
    inputs = tiny_inputs(3)
    plain = model(**inputs).logits
    taps = find_taps(model, every=1)
    with attach(model, taps) as attachment:
        attachment.add("new", build_bank(kind, taps, model, config, seed=1))
        with attachment.bank("new"):
            assert torch.equal(model(**inputs).logits, plain)
            with torch.autocast("cpu", torch.bfloat16):
                in_bf16 = model(**inputs).logits
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(model(**inputs).logits, in_bf16)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tokens", [1, 8])
def test_rows_of_a_mixed_batch(family: str, tokens: int) -> None:
    model = tiny_llava(family)
    inputs = tiny_inputs(6, tokens)
    plain = model(**inputs).logits
    taps = find_taps(model)
    with attach(model, taps) as attachment:
        attachment.add("a", disturbed(build_bank("twin", taps, model, {}, 0)))
        attachment.add("b", disturbed(build_bank("lora", taps, model, {"attention": True}, 0)))
        alone = {}
        for name in ("a", "b"):
            with attachment.bank(name):
                alone[name] = model(**inputs).logits
        with attachment.rows(["a", None, "b", "a", None, "b"]):
            mixed = model(**inputs).logits
        assert torch.equal(model(**inputs).logits, plain)
        with attachment.rows([None] * 6):
            assert torch.equal(model(**inputs).logits, plain)
    assert torch.equal(mixed[[1, 4]], plain[[1, 4]])
    torch.testing.assert_close(mixed[[0, 3]], alone["a"][[0, 3]], atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(mixed[[2, 5]], alone["b"][[2, 5]], atol=2e-5, rtol=1e-4)
    assert not torch.allclose(alone["a"], plain, atol=1e-2)
    assert not torch.allclose(alone["b"], plain, atol=1e-2)


def two_banks(attachment: Attachment, model: Any) -> None:
    """'a' at the taps, 'b' inside them (where they are dense) and in attention."""
    taps = find_taps(model, every=1)
    attachment.add("a", disturbed(build_bank("twin", taps, model, {}, 0), 0))
    attachment.add("b", disturbed(build_bank("lora", taps, model, {"attention": True}, 1), 1))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_mix_that_is_all_one_bank_is_that_bank_bit_for_bit(family: str) -> None:
    model = tiny_llava(family)
    inputs = tiny_inputs(4)
    with attach(model, find_taps(model)) as attachment:
        two_banks(attachment, model)
        for names, mixes in (
            (["a"] * 4, [{"a": 1.0}] * 4),
            ([None] * 4, [{}, {"base": 1.0}, {"a": 0.0, "b": 0.0}, {"base": 1, "a": 0}]),
            (["a", None, "b", "b"], [{"a": 1, "b": 0, "base": 0.0}, {"base": 1}, {"b": 1.0}, "b"]),
        ):
            with attachment.rows(names):
                expected = model(**inputs).logits
            with attachment.rows(mixes):
                assert torch.equal(model(**inputs).logits, expected)


def test_all_of_a_bank_that_is_no_change_of_the_base_is_that_bank_bit_for_bit() -> None:
    """F(x) + (bank(x) - F(x)) would be another number."""

    class Unrelated(Part):
        def forward(self, x: torch.Tensor, frozen: Frozen) -> torch.Tensor:
            return x.sin() / 1000

    model = tiny_llava("llama")
    taps = find_taps(model)
    module = model.get_submodule(taps[0].name)
    x = torch.randn(3, 5, HIDDEN, generator=torch.Generator().manual_seed(2))
    frozen = module(x)
    assert not torch.equal(frozen + (x.sin() / 1000 - frozen), x.sin() / 1000)
    with attach(model, taps) as attachment:
        attachment.add("a", Bank(taps, Settings(), {taps[0].name: Unrelated()}))
        with attachment.rows([{"a": 1.0}, None, "a"]):
            mixed = module(x)
    assert torch.equal(mixed[[0, 2]], x[[0, 2]].sin() / 1000)


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_beside_a_mix_keep_their_bits(family: str) -> None:
    model = tiny_llava(family)
    inputs = tiny_inputs(6)
    with attach(model, find_taps(model)) as attachment:
        two_banks(attachment, model)
        with attachment.rows(["a", None, None, "b", None, "a"]):
            expected = model(**inputs).logits
        with attachment.rows(["a", None, {"a": 0.5, "b": 0.5}, "b", {"b": 0.3}, "a"]):
            mixed = model(**inputs).logits
    assert torch.equal(mixed[[0, 1, 3, 5]], expected[[0, 1, 3, 5]])
    assert not torch.allclose(mixed[[2, 4]], expected[[2, 4]], atol=1e-2)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_mix_does_not_depend_on_its_company(family: str) -> None:
    model = tiny_llava(family)
    inputs = tiny_inputs(4)
    owners: list[Owner] = [{"a": 0.5, "b": 0.5}, {"b": 0.25, "base": 0.75}, "a", {"a": 0.2, "b": 0.7, "base": 0.1}]
    with attach(model, find_taps(model)) as attachment:
        two_banks(attachment, model)
        with attachment.rows(owners):
            together = model(**inputs).logits
        for i, owner in enumerate(owners):
            with attachment.rows([owner] * 4):
                alone = model(**inputs).logits
            torch.testing.assert_close(together[i], alone[i], atol=2e-5, rtol=1e-4)


def test_a_mix_is_the_sum_of_weighted_changes_at_each_site() -> None:
    model = tiny_llava("llama")
    taps = find_taps(model)
    module = model.get_submodule(taps[0].name)
    x = torch.randn(3, 5, HIDDEN, generator=torch.Generator().manual_seed(2))
    frozen = module(x)
    with attach(model, taps) as attachment:
        attachment.add("a", disturbed(build_bank("twin", taps, model, {}, 0), 0))
        attachment.add("b", disturbed(build_bank("twin", taps, model, {}, 1), 1))
        attachment.add("elsewhere", disturbed(build_bank("twin", taps[1:], model, {}, 2), 2))
        alone = {}
        for name in ("a", "b"):
            with attachment.bank(name):
                alone[name] = module(x)
        with attachment.rows([{"a": 0.2, "b": 0.5}, {"b": 0.9, "elsewhere": 0.1}, {"elsewhere": 0.6, "base": 0.4}]):
            mixed = module(x)
    changes = {name: output - frozen for name, output in alone.items()}
    torch.testing.assert_close(mixed[0], frozen[0] + 0.2 * changes["a"][0] + 0.5 * changes["b"][0])
    torch.testing.assert_close(mixed[1], frozen[1] + 0.9 * changes["b"][1])
    assert torch.equal(mixed[2], frozen[2])


def test_a_bank_around_and_a_bank_inside_a_module_both_keep_their_whole_change() -> None:
    """F of the outer site is the untouched module, not the one that the inner bank has already changed."""
    model = tiny_llava("llama")
    taps = find_taps(model)
    module = model.get_submodule(taps[0].name)
    x = torch.randn(2, 5, HIDDEN, generator=torch.Generator().manual_seed(2))
    frozen = module(x)
    with attach(model, taps) as attachment:
        two_banks(attachment, model)
        with attachment.bank("a"):
            around = module(x)
        with attachment.rows([{"b": 0.5}, {"b": 0.5}]):
            inside = module(x)
        with attachment.rows([{"a": 0.5, "b": 0.5}, {"b": 0.5}]):
            mixed = module(x)
    torch.testing.assert_close(mixed[0], inside[0] + 0.5 * (around[0] - frozen[0]))
    assert torch.equal(mixed[1], inside[1])


@pytest.mark.parametrize("family", ["qwen3_moe", "llama"])
def test_generate_with_a_mix_is_the_same_with_and_without_a_cache(family: str) -> None:
    model = tiny_llava(family)
    inputs = tiny_inputs(4)
    settings = {"max_new_tokens": 8, "do_sample": False, "suppress_tokens": [IMAGE_TOKEN]}
    with attach(model, find_taps(model)) as attachment:
        two_banks(attachment, model)
        with attachment.rows([{"a": 0.5, "b": 0.5}, None, {"b": 0.4}, "a"]):
            cached = model.generate(**inputs, **settings)
            assert torch.equal(model.generate(**inputs, **settings, use_cache=False), cached)
        with attachment.rows([None, None, None, "a"]):
            unmixed = model.generate(**inputs, **settings)
    assert torch.equal(cached[[1, 3]], unmixed[[1, 3]])
    assert not torch.equal(cached[0], unmixed[0])


@pytest.mark.parametrize(
    ("mix", "message"),
    [
        ({"a": -0.1}, "the weight of 'a' is -0.1"),
        ({"a": float("nan")}, "the weight of 'a' is nan"),
        ({"a": float("inf")}, "the weight of 'a' is inf"),
        ({"a": 0.5, "base": -0.2}, "the weight of 'base' is -0.2"),
        ({"a": 0.6, "b": 0.5}, "the weights of a, b sum to 1.1; give at most 1"),
        ({"a": 0.5, "base": 0.500002}, "sum to 1"),
        ({"c": 0.5}, "'c' is not attached; attached: a, b"),
        ({"a": 1.0, "c": 0.0}, "'c' is not attached"),
    ],
)
def test_wrong_weights_are_refused(mix: dict[str, float], message: str) -> None:
    model = tiny_llava("llama")
    with attach(model, find_taps(model)) as attachment:
        two_banks(attachment, model)
        with pytest.raises(UsageError, match=message), attachment.rows([None, mix]):
            pass
        with attachment.rows([{"a": 0.5, "b": 0.5 + 1e-7}]):
            pass


def test_base_rows_keep_their_bits_when_decoding_one_token_beside_banks() -> None:
    """Few tokens reach an expert then, which is where plain matrix products change a row's last bits."""
    model = tiny_llava()
    taps = find_taps(model)
    inputs = tiny_inputs(8)
    names: list[str | None] = ["a", None] * 4
    step = torch.full((8, 1), 7)

    def decode() -> torch.Tensor:
        cache = model(**inputs, use_cache=True).past_key_values
        return model(input_ids=step, past_key_values=cache).logits

    plain = decode()
    with attach(model, taps) as attachment:
        attachment.add("a", disturbed(build_bank("twin", taps, model, {}, 0)))
        with attachment.rows(names):
            mixed = decode()
    assert torch.equal(mixed[1::2], plain[1::2])


def test_generate_with_a_bank_a_row() -> None:
    model = tiny_llava()
    taps = find_taps(model)
    inputs = tiny_inputs(4)
    settings = {"max_new_tokens": 6, "do_sample": False}
    plain = model.generate(**inputs, **settings)
    with attach(model, taps) as attachment:
        attachment.add("a", disturbed(build_bank("twin", taps, model, {}, 0)))
        with attachment.bank("a"):
            alone = model.generate(**inputs, **settings)
        with attachment.rows(["a", None, "a", None]):
            mixed = model.generate(**inputs, **settings)
    assert torch.equal(mixed[[1, 3]], plain[[1, 3]])
    assert torch.equal(mixed[[0, 2]], alone[[0, 2]])
    assert not torch.equal(alone, plain)


def test_detaching_gives_the_model_back() -> None:
    model = tiny_llava("llama")
    names = list(model.state_dict())
    taps = find_taps(model)
    attachment = attach(model, taps)
    attachment.add("a", build_bank("lora", taps, model, {}, 0))
    with attach(model, taps) as second:
        second.add("b", disturbed(build_bank("twin", taps, model, {}, 0)))
        with second.bank("b"):
            model(**tiny_inputs(2))
    attachment.detach()
    assert list(model.state_dict()) == names
    assert not any("forward" in module.__dict__ for module in model.modules())


def test_a_second_attachment_sees_through_the_first() -> None:
    model = tiny_llava()
    taps = find_taps(model)
    inputs = tiny_inputs(2)
    bank = disturbed(build_bank("twin", taps, model, {}, 0))
    with attach(model, taps) as only:
        only.add("b", bank)
        with only.bank("b"):
            expected = model(**inputs).logits
    with attach(model, taps), attach(model, taps) as second:
        second.add("b", bank)
        with second.bank("b"):
            assert torch.equal(model(**inputs).logits, expected)


def test_what_does_not_fit_is_an_error() -> None:
    model = tiny_llava()
    taps = find_taps(model)
    with attach(model, taps) as attachment:
        bank = build_bank("twin", taps, model, {}, 0)
        attachment.add("a", bank)
        with pytest.raises(LynxError, match="'a' is attached already"):
            attachment.add("a", bank)
        with pytest.raises(UsageError, match="'aa' is not attached; attached: a"), attachment.rows(["aa", None]):
            pass
        with pytest.raises(LynxError, match="3 rows, but banks were named for 2"), attachment.rows(["a", None]):
            model(**tiny_inputs(3))
        attachment.remove("a")
        with pytest.raises(UsageError, match="not attached"), attachment.bank("a"):
            pass
    with pytest.raises(LynxError, match="no module of that name"):
        attach(tiny_llava("llama").model.vision_tower, taps)
