"""Bank kinds: against peft and copied networks as oracles, state and bytes, settings, loading."""

from __future__ import annotations

import copy
import re
from types import SimpleNamespace

import peft
import pytest
import torch
from torch import nn

from lynx_cl.banks.attach import attach
from lynx_cl.banks.base import bank_bytes, bank_kinds, build_bank, load_bank
from lynx_cl.banks.block import zeros
from lynx_cl.base.taps import find_taps
from lynx_cl.errors import LynxError, UsageError
from tests.banks.test_attach import disturbed
from tests.families.tiny import tiny_base, tiny_causal, tiny_inputs, tiny_llava


def test_one_lora_expert_is_peft() -> None:
    model = tiny_causal()
    taps = find_taps(model, every=1)
    names = ["gate_proj", "up_proj", "down_proj", "q_proj", "k_proj", "v_proj", "o_proj"]
    config = {"experts": 1, "rank": 4, "scale": 2.0, "attention": True}
    bank = disturbed(build_bank("lora", taps, model, config, 0))
    ids = torch.arange(10)[None]
    with attach(model, taps) as attachment:
        attachment.add("a", bank)
        with attachment.bank("a"):
            ours = model(ids).logits
    oracle = peft.get_peft_model(copy.deepcopy(model), peft.LoraConfig(r=4, lora_alpha=8, target_modules=names))
    state = bank.state()
    with torch.no_grad():
        for name, module in oracle.named_modules():
            if isinstance(module, peft.tuners.lora.Linear):
                site = name.removeprefix("base_model.model.")
                module.lora_A["default"].weight.copy_(state[f"{site}.A"])
                module.lora_B["default"].weight.copy_(state[f"{site}.B"])
    theirs = oracle(ids).logits
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(theirs, model(ids).logits, atol=1e-2)


def test_lora_experts_are_mixed_by_a_softmax_gate() -> None:
    model = tiny_llava()
    taps = find_taps(model)
    bank = disturbed(build_bank("lora", taps, model, {"rank": 3, "experts": 2, "scale": 1.5}, 0))
    block = model.get_submodule(taps[0].name)
    x = torch.randn(2, 5, taps[0].hidden)
    state = {k.removeprefix(f"{taps[0].name}."): v for k, v in bank.state().items() if k.startswith(taps[0].name)}
    gates = (x @ state["gate"].T).softmax(-1)
    low = [nn.functional.silu(x @ state["A"][3 * e : 3 * e + 3].T) @ state["B"][:, 3 * e : 3 * e + 3].T for e in (0, 1)]
    expected = block(x) + 1.5 * (gates[..., :1] * low[0] + gates[..., 1:] * low[1])
    with attach(model, taps) as attachment:
        attachment.add("a", bank)
        with attachment.bank("a"):
            torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize("family", ["llama", "phi", "phi3"])
def test_a_dense_twin_is_the_gated_sum_of_changed_copies(family: str) -> None:
    model = tiny_llava(family)
    tap = find_taps(model)[0]
    bank = disturbed(build_bank("twin", [tap], model, {"experts": 3, "top_k": 2}, 0))
    frozen = model.get_submodule(tap.name)
    state = {k.removeprefix(f"{tap.name}."): v for k, v in bank.state().items()}
    copies = [copy.deepcopy(frozen) for _ in range(3)]
    with torch.no_grad():
        for number, twin in enumerate(copies):
            for name, parameter in twin.named_parameters():
                parameter.add_(state[f"experts.{name}"][number])
    x = torch.randn(2, 5, tap.hidden)
    logits, chosen = (x @ state["gate"].T).topk(2)
    weights = torch.zeros(2, 5, 3).scatter(-1, chosen, logits.softmax(-1))
    mixture = sum(weights[..., e, None] * copies[e](x) for e in range(3))
    expected = (1 - state["alpha"]) * frozen(x) + state["alpha"] * mixture
    with attach(model, [tap]) as attachment:
        attachment.add("a", bank)
        with attachment.bank("a"):
            torch.testing.assert_close(frozen(x), expected, atol=1e-5, rtol=1e-4)


def test_a_sparse_twin_is_a_changed_copy_of_the_mixture() -> None:
    model = tiny_llava()
    tap = find_taps(model)[0]
    assert tap.sparse
    bank = disturbed(build_bank("twin", [tap], model, {}, 0))
    frozen = model.get_submodule(tap.name)
    twin = copy.deepcopy(frozen)
    state = bank.state()
    with torch.no_grad():
        for name, parameter in twin.named_parameters():
            parameter.add_(state[f"{tap.name}.deviations.{name}"])
    x = torch.randn(2, 5, tap.hidden)
    alpha = state[f"{tap.name}.alpha"]
    expected = (1 - alpha) * frozen(x) + alpha * twin(x)
    with attach(model, [tap]) as attachment:
        attachment.add("a", bank)
        with attachment.bank("a"):
            torch.testing.assert_close(frozen(x), expected, atol=1e-5, rtol=1e-4)
            with torch.no_grad():
                torch.testing.assert_close(frozen(x), expected, atol=1e-5, rtol=1e-4)
                next(iter(bank.part(tap.name).deviations.values())).add_(0.1)  # kept sums must not outlive a change
                assert not torch.allclose(frozen(x), expected, atol=1e-3)


@pytest.mark.parametrize("family", ["llama", "qwen3_moe", "mixtral"])
def test_a_block_bank_is_a_model_of_changed_matrices(family: str) -> None:
    """Entry (o, i) of a projection moves only where i mod blocks is the block that o lies in; biases and gates stay."""
    model, inputs = tiny_llava(family), tiny_inputs(2)
    taps = find_taps(model, every=1)
    bank = disturbed(build_bank("block", taps, model, {"blocks": 4, "scale": 1.5}, 0))
    with attach(model, taps) as attachment:
        attachment.add("a", bank)
        with attachment.bank("a"):
            ours = model(**inputs).logits
            with torch.no_grad():
                kept = [model(**inputs).logits for _ in range(2)]
    oracle = copy.deepcopy(model)
    changed = []
    with torch.no_grad():
        for name, parameter in oracle.named_parameters():
            site, _, _ = name.rpartition(".weight")
            blocks = bank.state().get(f"{site}.B")
            if blocks is None and ".experts." in name:
                tap, _, path = name.partition(".experts.")
                blocks = bank.state()[f"{tap}.changes.{re.sub(r'^[0-9]+[.]', '', path)}"]
            if blocks is None:
                continue
            number, outside, inside = blocks.shape
            change = torch.zeros(number * outside, inside * number)
            for block in range(number):
                change[block * outside : (block + 1) * outside, block::number] = blocks[block]
            parameter.add_(1.5 * change)
            changed.append(name)
    torch.testing.assert_close(ours, oracle(**inputs).logits, atol=1e-5, rtol=1e-5)
    assert all(torch.equal(ours, again) for again in kept)
    assert not torch.allclose(ours, model(**inputs).logits, atol=1e-2)
    layers = [(name, p) for name, p in model.named_parameters() if ".language_model.layers." in name]
    assert {name.split(".")[-2] for name, p in layers if p.dim() > 1 and name not in changed} <= {"gate"}


def test_blocks_fit_the_widths() -> None:
    assert zeros(192, 384, 12, "w").shape == (12, 32, 16)
    assert zeros(192, 384, 13, "w").shape == (16, 24, 12)
    assert zeros(64, 48, 1, "w").shape == (1, 48, 64)
    with pytest.raises(LynxError, match="w: its widths 64 and 48 are not divided by 17 .* give blocks of at most 16"):
        zeros(64, 48, 17, "w")


@pytest.mark.parametrize(("kind", "config"), [("twin", {}), ("lora", {"attention": True}), ("block", {"blocks": 4})])
@pytest.mark.parametrize("family", ["qwen3_moe", "llama"])
def test_a_bank_written_and_loaded_answers_the_same(family: str, kind: str, config: dict) -> None:
    base = tiny_base(family)
    taps = find_taps(base.model)
    bank = disturbed(build_bank(kind, taps, base.model, config, 0))
    data = bank_bytes(bank)
    manifest = SimpleNamespace(kind=kind, bank_config=bank.bank_config(), base=base.fingerprint)
    loaded = load_bank(manifest, data, base)
    assert bank_bytes(loaded) == data
    assert not any(p.requires_grad for p in loaded.parameters())
    inputs = tiny_inputs(2)
    with attach(base.model, taps) as attachment:
        attachment.add("first", bank)
        attachment.add("second", loaded)
        with attachment.bank("first"):
            expected = base.model(**inputs).logits
        with attachment.bank("second"):
            assert torch.equal(base.model(**inputs).logits, expected)


def test_a_bank_refuses_another_base_and_other_tensors() -> None:
    base = tiny_base()
    taps = find_taps(base.model)
    bank = build_bank("lora", taps, base.model, {}, 0)
    manifest = SimpleNamespace(kind="lora", bank_config=bank.bank_config(), base="0" * 64)
    with pytest.raises(LynxError, match="trained on base 000000000000, this one is tiny"):
        load_bank(manifest, bank.state(), base)
    manifest.base = base.fingerprint
    state = bank.state()
    first = next(iter(state))
    with pytest.raises(LynxError, match=r"lacks .*\.A \(1 missing, 0 unknown\)"):
        load_bank(manifest, {k: v for k, v in state.items() if k != first}, base)
    with pytest.raises(LynxError, match="is torch.float64"):
        load_bank(manifest, {k: v.double() for k, v in state.items()}, base)
    manifest.bank_config = {**manifest.bank_config, "taps": ["model.language_model.layers.9.mlp"]}
    with pytest.raises(LynxError, match="layers.9.mlp: the base has no module of that name"):
        load_bank(manifest, state, base)


def test_the_seed_decides_the_bytes() -> None:
    model = tiny_llava("llama")
    taps = find_taps(model)
    for kind in ("twin", "lora"):
        first, again, other = (bank_bytes(build_bank(kind, taps, model, {}, seed)) for seed in (0, 0, 1))
        assert first == again != other


def test_settings_are_checked() -> None:
    model = tiny_llava()
    taps = find_taps(model)
    assert list(bank_kinds()) == ["block", "external", "lora", "twin"]
    for kind, config, message in [
        ("twins", {}, "bank kind 'twins' is unknown; known: block, external, lora, twin"),
        ("twin", {"rank": 4}, "bank twin: key 'rank' is unknown; known: alpha, experts, top_k"),
        ("twin", {"experts": 2, "top_k": 3}, "bank twin: top_k = 3 exceeds experts = 2"),
        ("lora", {"rank": 0}, "bank lora: rank = 0: input should be greater than or equal to 1"),
        ("block", {"rank": 4}, "bank block: key 'rank' is unknown; known: attention, attention_layers, blocks, scale"),
        ("lora", {"attention_layers": "some"}, "bank lora: attention_layers = 'some': input should be 'all' or 'taps'"),
    ]:
        with pytest.raises(UsageError) as failure:
            build_bank(kind, taps, model, config, 0)
        assert str(failure.value) == message
    with pytest.raises(LynxError, match="no taps"):
        build_bank("twin", [], model, {}, 0)


def test_every_parameter_of_a_bank_gets_a_gradient() -> None:
    """An expert left untrained in silence is a known fault of adapters on fused mixtures."""
    for family in ("qwen3_moe", "llama"):
        model = tiny_llava(family)
        taps = find_taps(model)
        kinds: list[tuple[str, dict]] = [("twin", {"experts": 2, "top_k": 2}), ("lora", {"attention": True})]
        for kind, config in [*kinds, ("block", {"blocks": 2})]:
            bank = disturbed(build_bank(kind, taps, model, config, 0)).requires_grad_(True)
            with attach(model, taps) as attachment:
                attachment.add("a", bank)
                with attachment.bank("a"):
                    model(**tiny_inputs(4)).logits.square().sum().backward()
            untouched = [name for name, p in bank.named_parameters() if p.grad is None or not bool(p.grad.any())]
            assert untouched == []
            assert not any(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("family", ["llama", "qwen3_moe"])
def test_a_fixed_alpha_is_neither_trained_nor_kept(family: str) -> None:
    base = tiny_base(family)
    taps, inputs = find_taps(base.model, every=1), tiny_inputs(2)
    fixed = disturbed(build_bank("twin", taps, base.model, {"alpha": "fixed"}, 0))
    learned = build_bank("twin", taps, base.model, {}, 0)
    state = learned.state()
    assert not any(name.endswith("alpha") for name in fixed.state())
    assert state.keys() - fixed.state().keys() == {f"{tap.name}.alpha" for tap in taps}
    learned.load_state({**state, **fixed.state()})  # whose alphas are where they start
    manifest = SimpleNamespace(kind="twin", bank_config=fixed.bank_config(), base=base.fingerprint)
    loaded = load_bank(manifest, bank_bytes(fixed), base)
    with attach(base.model, taps) as attachment:
        outputs = []
        for name, bank in (("fixed", fixed), ("learned", learned), ("loaded", loaded)):
            attachment.add(name, bank)
            with attachment.bank(name), torch.no_grad():
                outputs.append(base.model(**inputs).logits)
    assert torch.equal(outputs[0], outputs[1]) and torch.equal(outputs[0], outputs[2])
    assert not torch.allclose(outputs[0], base.model(**inputs).logits, atol=1e-2)
