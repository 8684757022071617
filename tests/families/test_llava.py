"""LLaVA with each text decoder it comes with: taps found, exact start, every part trained, growth, bytes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from lynx_cl.banks.attach import attach
from lynx_cl.banks.base import bank_bytes, build_bank, load_bank
from lynx_cl.banks.growth import active_parameters, growth, total_parameters
from lynx_cl.base.taps import find_taps
from tests.banks.test_attach import disturbed
from tests.families.tiny import LAYERS, TEXTS, tiny_base, tiny_inputs

SPARSE = {"mixtral": {0, 1, 2, 3}, "qwen2_moe": {0, 1, 2, 3}, "qwen3_moe": {1, 3}}


@pytest.mark.parametrize("kind", ["twin", "lora"])
@pytest.mark.parametrize("text", TEXTS)
def test_a_bank_on_a_text_decoder(text: str, kind: str) -> None:
    base = tiny_base(text)
    model = base.model
    taps = find_taps(model, every=1)
    assert [tap.layer for tap in taps] == list(range(LAYERS))
    assert {tap.layer for tap in taps if tap.sparse} == SPARSE.get(text, set())
    inputs = tiny_inputs(3)
    plain = model(**inputs).logits
    config = {"attention": True} if kind == "lora" else {}
    bank = build_bank(kind, taps, model, config, 0)
    with attach(model, taps) as attachment:
        attachment.add("new", bank)
        with attachment.bank("new"):
            assert torch.equal(model(**inputs).logits, plain)
            disturbed(bank).requires_grad_(True)
            changed = model(**inputs).logits
            changed.square().sum().backward()
        assert not torch.allclose(changed, plain, atol=1e-2)
        untrained = [n for n, p in bank.named_parameters() if p.grad is None or not bool(p.grad.any())]
        assert untrained == []
        manifest = SimpleNamespace(kind=kind, bank_config=bank.bank_config(), base=base.fingerprint)
        attachment.add("loaded", load_bank(manifest, bank_bytes(bank), base))
        with attachment.bank("loaded"):
            assert torch.equal(model(**inputs).logits, changed)
        with attachment.rows(["loaded", None, "loaded"]):
            assert torch.equal(model(**inputs).logits[1], plain[1])
    counted = growth(bank, model)
    assert counted.parameters == sum(p.numel() for p in bank.parameters())
    assert (active_parameters(model) < total_parameters(model)) == (text in SPARSE)
    assert 0 < counted.active <= counted.parameters / active_parameters(model)
