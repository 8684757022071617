"""Bases spread over memory and disk: the base's own bits, banks that train as on one in memory, and wrong settings."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from lynx_cl.banks.attach import attach
from lynx_cl.banks.base import Bank, bank_bytes, build_bank, load_bank
from lynx_cl.base.card import read_card
from lynx_cl.base.chat import chat_text, model_inputs
from lynx_cl.base.fingerprint import digest, model_digest
from lynx_cl.base.load import Base, load_base
from lynx_cl.base.spread import is_spread
from lynx_cl.base.taps import find_taps
from lynx_cl.cli.main import main
from lynx_cl.continual.config import AddConfig
from lynx_cl.continual.trial import try_base
from lynx_cl.errors import LynxError
from lynx_cl.evaluation.generate import Request, answer
from lynx_cl.router.trunk import TrunkEmbedder
from lynx_cl.training.config import TrainConfig
from lynx_cl.training.memory import weight_bytes
from lynx_cl.training.part import ModelPart, all_but_tower
from lynx_cl.training.trainer import train_bank
from tests.continual.process import SHORT, lynx
from tests.continual.study_tiny import write_base
from tests.evaluation.test_generate import picture
from tests.families.test_families import encoded

ALL, SOME = "20KB", "200KB"  # of main memory: all of the tiny base lies on disk, or its decoder alone


def card_of(folder: Path, **more: Any) -> None:
    (folder / "base.yaml").write_text(yaml.safe_dump({"name": "tiny", "packs": True, **more}))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("spread") / "tiny")


@pytest.fixture(scope="module")
def whole(folder: Path) -> Base:
    card_of(folder)
    return load_base(str(folder))


def spread(folder: Path, most: str, **more: Any) -> Base:
    card = read_card(folder).model_copy(update={"device_map": "auto", "max_memory": {"cpu": most}, **more})
    return load_base(str(folder), card=card)


def logits(base: Base, **more: Any) -> torch.Tensor:
    inputs = model_inputs(base, [chat_text(base.processor, "What is it?", True)] * 2, [picture(0), picture(1)])
    with torch.no_grad():
        return base.model(**inputs, **more).logits


def drawn(base: Base, kind: str = "lora") -> Bank:
    """A bank that changes answers."""
    bank = build_bank(kind, find_taps(base.model, 1), base.model, {"attention": True}, seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in bank.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return bank


@pytest.mark.parametrize("most", [ALL, SOME])
def test_its_bits_are_those_of_the_base_in_memory(folder: Path, whole: Base, most: str) -> None:
    base = spread(folder, most)
    away = [name for name, parameter in base.model.named_parameters() if parameter.is_meta]
    assert (
        is_spread(base.model) and len(away) > 20 and (most == SOME) == (len(away) < len(list(base.model.parameters())))
    )
    assert base.fingerprint == whole.fingerprint
    assert torch.equal(logits(base), logits(whole))
    assert model_digest(base.model) == digest(whole.model.state_dict().items())
    assert weight_bytes(base.model) < 0.7 * weight_bytes(whole.model)
    assert [n for n, p in base.model.named_parameters() if p.is_meta] == away  # nothing stays in memory after a forward


def test_banks_answer_on_it_as_on_the_base_in_memory(folder: Path, whole: Base) -> None:
    requests = [Request("What is it?", picture(number)) for number in range(3)]
    told, embedded = [], []
    for base in (whole, spread(folder, ALL)):
        with attach(base.model, find_taps(base.model, 1)) as attachment:
            attachment.add("drawn", drawn(base))
            told.append(answer(base, attachment, requests, ["drawn", None, "drawn"], max_new_tokens=6))
            with attachment.rows(["drawn", None]):
                embedded.append(logits(base))
        embedded.append(torch.tensor(TrunkEmbedder(base).embed(requests)))
    assert told[0] == told[1]
    assert torch.equal(embedded[0], embedded[2]) and torch.equal(embedded[1], embedded[3])
    assert not torch.allclose(embedded[0][0], logits(whole)[0], atol=1e-3)


@pytest.mark.parametrize("thrifty", [False, True])
def test_a_bank_trains_on_it_to_the_same_weights(folder: Path, whole: Base, tmp_path: Path, thrifty: bool) -> None:
    config = TrainConfig(steps=4, val_every=2, learning_rate=1e-2, gradient_checkpointing=thrifty, cache_mb=0)
    trained = []
    for number, base in enumerate((whole, spread(folder, SOME))):
        bank = build_bank("lora", find_taps(base.model, 1), base.model, {"attention": True}, seed=0)
        start = bank_bytes(bank)
        result = train_bank(
            base, bank, lambda seed, b=base: [encoded(b)] * 4, [encoded(base)], config, tmp_path / str(number)
        )
        assert result.frozen_digest_before == model_digest(whole.model) and bank_bytes(bank) != start
        trained.append(bank_bytes(bank))
    assert trained[0] == trained[1]


def test_what_was_learned_in_memory_is_read_on_disk(folder: Path, whole: Base) -> None:
    bank, base = drawn(whole), spread(folder, ALL)
    manifest: Any = type("Manifest", (), {"kind": "lora", "bank_config": bank.bank_config(), "base": whole.fingerprint})
    read = load_bank(manifest, bank_bytes(bank), base)
    assert bank_bytes(read) == bank_bytes(bank)


def test_its_own_type_holds_on_disk(folder: Path) -> None:
    half, other = spread(folder, ALL, dtype="bfloat16"), load_base(str(folder), dtype="bfloat16")
    assert half.model.dtype == torch.bfloat16
    assert torch.equal(logits(half), logits(other))


def test_what_cannot_be_changed_is_refused(folder: Path) -> None:
    base = spread(folder, ALL)
    for kind in ("twin", "block"):
        with pytest.raises(
            LynxError, match=rf"layers.1.mlp: .* so that a {kind} bank cannot add to them; take --bank lora"
        ):
            build_bank(kind, find_taps(base.model), base.model, {}, 0)
    with pytest.raises(LynxError, match=r"not in the memory that computes .*; train a bank beside it"):
        ModelPart(base.model, all_but_tower(base.model))


def test_nothing_is_left_on_disk(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    base = spread(folder, ALL)
    assert list(tmp_path.glob("lynx-cl-offloaded-*/*"))  # fused experts, which the checkpoint holds one by one
    del base
    gc.collect()
    assert not list(tmp_path.iterdir())
    with pytest.raises(LynxError):
        spread(folder, "much")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"device_map": "auto", "max_memory": {"cpu": "much"}}, "'cpu' has 'much', which is no amount of memory"),
        ({"device_map": "auto", "max_memory": {"cpu": "-2GB"}}, "'cpu' has '-2GB', which is no amount"),
        ({"device_map": "auto", "max_memory": {"gpu": "2GB"}}, "'gpu' is no place; give cpu, or the number of a GPU"),
        ({"max_memory": {"cpu": "2GB"}}, "limits max_memory, which holds with device_map"),
        ({"device_map": "clever"}, "device_map"),
    ],
)
def test_wrong_settings_are_one_line(
    tmp_path: Path, folder: Path, settings: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in folder.iterdir():
        (copy / file.name).symlink_to(file.resolve())
    (copy / "base.yaml").unlink()
    card_of(copy, **settings)
    assert main(["base", "show", str(copy), "--taps"]) in (1, 2)
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_card_says_so_and_an_add_goes_by_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_base(tmp_path / "tiny")
    (folder / "base.yaml").unlink()
    assert main(["base", "add", str(folder), "--max-memory", "200KB"]) == 2
    assert "--max-memory 200KB: give it as PLACE=AMOUNT" in capsys.readouterr().err
    assert main(["base", "add", str(folder), "--device-map", "auto", "--max-memory", "cpu=200KB"]) == 0
    card = read_card(folder)
    assert (card.device_map, card.max_memory) == ("auto", {"cpu": "200KB"})
    assert "meta device" not in capsys.readouterr().err
    assert card.grammar == "brackets"  # of a new card
    card_of(folder, grammar="keyed", dtype="float32", device_map="auto", max_memory={"cpu": "200KB"})
    assert main(["base", "add", str(folder), "--licence", "MIT"]) == 0
    card = read_card(folder)  # what is not given again stays
    assert (card.grammar, card.dtype, card.device_map, card.licence) == ("keyed", "float32", "auto", "MIT")
    found = {one.name: one for one in try_base(str(folder), AddConfig(), lambda text: None)}
    assert all(one.ok for one in found.values()) and "spread by device_map" in found["weights"].value
    assert "an add needs about" in found["bank lora"].value and "cannot add to them" in found["bank twin"].advice
    capsys.readouterr()
    add = ("add-task", "grounding", "--data", "scout", "--bank", "lora", "--base", str(folder))
    wrong = lynx(*add, "trainer.devices=2", home=tmp_path / "home", check=False)
    assert wrong.returncode == 2 and "so one process trains" in wrong.stderr and wrong.stderr.count("\n") == 1
    facts = json.loads(lynx(*add, "--json", *SHORT, home=tmp_path / "home").stdout)
    assert facts["snapshot"] and facts["tasks"]["grounding"]
    again = lynx("registry", "verify", "--deep", home=tmp_path / "home")
    assert again.returncode == 0
