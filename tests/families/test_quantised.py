"""Bases in 8 and in 4 bits: plain transformers' own to the bit without a bank, and banks in fp32 that train on them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

from lynx_cl.banks.attach import attach
from lynx_cl.banks.base import bank_bytes, build_bank, load_bank
from lynx_cl.banks.growth import total_parameters
from lynx_cl.base.card import BaseCard, read_card
from lynx_cl.base.fingerprint import digest
from lynx_cl.base.load import load_base
from lynx_cl.base.quantise import LIBRARIES, quantisation, quantised_bytes, settle
from lynx_cl.base.taps import find_taps
from lynx_cl.continual.config import AddConfig
from lynx_cl.continual.trial import try_base
from lynx_cl.errors import LynxError
from lynx_cl.training.config import TrainConfig
from lynx_cl.training.memory import weight_bytes
from lynx_cl.training.module import BankModule
from lynx_cl.training.optimizer import BankOptimizer
from tests.banks.test_attach import disturbed
from tests.families.test_families import asked, encoded, logits
from tests.families.zoo import FAMILIES, save_family

for library in LIBRARIES.values():
    pytest.importorskip(library, reason="the extra `quantised` is not installed")

pytestmark = pytest.mark.parametrize(("name", "scheme"), [("llava", "int8"), ("llama", "nf4"), ("qwen2_vl", "nf4")])


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """A family's folder with a scheme in its card."""

    @cache
    def save(name: str, scheme: str) -> Path:
        folder = save_family(name, tmp_path_factory.mktemp(f"{name}-{scheme}"))
        (folder / "base.yaml").write_text(f"quantise: {scheme}\n")
        return folder

    return save


Saved = Callable[[str, str], Path]


def plain(folder: Path, name: str, scheme: str) -> torch.nn.Module:
    kind = AutoModelForImageTextToText if FAMILIES[name].processor else AutoModelForCausalLM
    model = kind.from_pretrained(folder, quantization_config=quantisation(scheme)).eval()
    settle(model)
    return model


def test_untouched_rows_are_those_of_the_plain_quantised_model(saved: Saved, name: str, scheme: str) -> None:
    folder = saved(name, scheme)
    base, full = load_base(str(folder)), load_base(str(folder), card=card_without(folder))
    inputs = asked(base, 3)
    with torch.no_grad():
        expected = plain(folder, name, scheme)(**inputs, use_cache=False).logits
    assert torch.equal(logits(base, inputs), expected)
    assert not torch.allclose(logits(full, inputs), expected, atol=1e-4)  # few bits do make a difference
    with attach(base.model, find_taps(base.model, 1)) as attachment:
        attachment.add("used", disturbed(build_bank("lora", find_taps(base.model, 1), base.model, {}, 0)))
        with attachment.rows(["used", None, "used"]):
            mixed = logits(base, inputs)
        assert torch.equal(mixed[1], expected[1]) and not torch.allclose(mixed[0], expected[0], atol=1e-3)
    assert total_parameters(base.model) == total_parameters(full.model)
    assert weight_bytes(base.model) < weight_bytes(full.model)
    told = quantised_bytes(folder, scheme, None)
    assert abs(told - weight_bytes(base.model)) < 0.25 * weight_bytes(base.model)


def card_without(folder: Path) -> BaseCard:
    return read_card(folder).model_copy(update={"quantise": "none"})


def test_a_bank_trains_in_fp32_and_is_saved_and_loaded(saved: Saved, name: str, scheme: str) -> None:
    base = load_base(str(saved(name, scheme)))
    before = digest(base.model.state_dict().items())
    taps = find_taps(base.model, 1)
    settings: dict[str, dict] = {"lora": {"attention": True}, "block": {"blocks": 4}, "twin": {}}
    for kind, config in settings.items():
        if kind == "twin" and scheme != "int8":
            continue
        bank = build_bank(kind, taps, base.model, config, 0)
        assert all(parameter.dtype == torch.float32 for parameter in bank.parameters())
        batch, losses = encoded(base), []
        with attach(base.model, taps) as attachment:
            module = BankModule(base.model, attachment, bank, TrainConfig(cache_mb=0))
            optimizer = BankOptimizer(bank.parameters(), lr=3e-2, weight_decay=0.0)
            for _ in range(8):
                loss, _ = module.losses(batch)
                losses.append(loss.item())
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            assert losses[-1] < 0.9 * losses[0]
            bank.requires_grad_(False)
            inputs = asked(base, 2)
            manifest = SimpleNamespace(kind=kind, bank_config=bank.bank_config(), base=base.fingerprint)
            attachment.add("loaded", load_bank(manifest, bank_bytes(bank), base))
            with attachment.bank("training"):
                trained = logits(base, inputs)
            with attachment.bank("loaded"):
                assert torch.equal(logits(base, inputs), trained)
    assert digest(base.model.state_dict().items()) == before


def test_a_bank_fits_the_scheme_it_was_trained_on_alone(saved: Saved, name: str, scheme: str, tmp_path: Path) -> None:
    folder = saved(name, scheme)
    base = load_base(str(folder))
    bank = build_bank("lora", find_taps(base.model), base.model, {}, 0)
    manifest = SimpleNamespace(kind="lora", bank_config=bank.bank_config(), base=base.fingerprint)
    elsewhere = tmp_path / "full"
    shutil.copytree(folder, elsewhere)
    assert load_base(str(elsewhere)).fingerprint == base.fingerprint  # of weights and scheme, not of the folder
    (elsewhere / "base.yaml").unlink()
    full = load_base(str(elsewhere))
    assert full.fingerprint != base.fingerprint
    with pytest.raises(LynxError, match=f"belongs to it with quantise: {scheme}, and its card says none"):
        load_bank(manifest, bank_bytes(bank), full)


def test_what_is_packed_takes_no_twin(saved: Saved, name: str, scheme: str) -> None:
    base = load_base(str(saved(name, scheme)))
    if scheme == "int8":  # weights in 8 bits can be computed with
        assert any(True for _ in build_bank("twin", find_taps(base.model), base.model, {}, 0).parameters())
        return
    with pytest.raises(LynxError, match="weights are quantised, so that a twin bank cannot .* take --bank lora"):
        build_bank("twin", find_taps(base.model), base.model, {}, 0)


def test_doctor_tries_it(saved: Saved, name: str, scheme: str) -> None:
    found = {one.name: one for one in try_base(str(saved(name, scheme)), AddConfig(), lambda text: None)}
    assert found["forward"].ok and found["bank lora"].ok and "an add needs about" in found["bank lora"].value
    assert found["bank twin"].ok and (found["bank twin"].value == "does not fit") == (scheme == "nf4")


def test_a_missing_library_is_named(saved: Saved, name: str, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda library: None)
    with pytest.raises(LynxError, match=rf"quantise: {scheme}, which needs {LIBRARIES[scheme]}; pip install 'lynx-cl"):
        load_base(str(saved(name, scheme)))
