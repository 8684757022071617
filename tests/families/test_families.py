"""Every family through the real path: loaded from a folder, tapped, trained, asked; zoo.py holds the list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

from lynx_cl.banks.attach import attach
from lynx_cl.banks.base import Bank, bank_bytes, build_bank, load_bank
from lynx_cl.banks.growth import active_parameters, total_parameters
from lynx_cl.base.card import BaseCard
from lynx_cl.base.chat import chat_text, model_inputs
from lynx_cl.base.fingerprint import digest, fingerprint_folder
from lynx_cl.base.kernels import EXPERTS
from lynx_cl.base.load import Base, image_token_id, load_base
from lynx_cl.base.repair import repair
from lynx_cl.base.taps import find_taps
from lynx_cl.continual.trial import sees_sides
from lynx_cl.data.collate import Batch, encode
from lynx_cl.data.example import Example, Provenance, Step, Target, to_pixels
from lynx_cl.data.grammar import get_grammar
from lynx_cl.evaluation.generate import Request, answer
from lynx_cl.router.trunk import TrunkEmbedder
from lynx_cl.training.config import TrainConfig
from lynx_cl.training.module import BankModule
from lynx_cl.training.optimizer import BankOptimizer
from tests.banks.test_attach import disturbed
from tests.families.zoo import FAMILIES, ID, LAYERS, SPECIAL, save_family

MIXED = 2e-4  # largest difference of fp32 logits between a row in company and alone: other shapes, other last bits
PICTURED = [name for name, family in FAMILIES.items() if family.processor and not family.reason]
READ = [name for name, family in FAMILIES.items() if not family.reason]
SOME = ["llava", "qwen2_5_vl", "qwen3_vl_moe", "mllama", "gemma3", "paligemma", "mixtral"]
SIZES = [(90, 56), (41, 77), (64, 64)]


@pytest.fixture(scope="session")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Base]:
    """A family's base, loaded once."""

    @cache
    def load(name: str) -> Base:
        folder = save_family(name, tmp_path_factory.mktemp(name))
        if not FAMILIES[name].reason:
            return load_base(str(folder))
        model = AutoModelForImageTextToText.from_pretrained(folder).requires_grad_(False).eval()
        repair(model)
        return Base(name, folder, model, None, BaseCard(name=name), fingerprint_folder(folder))

    return load


def picture(seed: int, size: tuple[int, int]) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1] // 8 + 1, size[0] // 8 + 1, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize(size)


def example(number: int, size: tuple[int, int] = (90, 56)) -> Example:
    box = (0.1 + 0.05 * number, 0.2, 0.6, 0.9)
    steps = (
        Step("Is there a dog?", "yes", 1.0, "relevant"),
        Step("Where is it?", get_grammar("brackets").write(box), 1.0, "where"),
    )
    shown = picture(number, size)
    return Example(
        image=lambda: shown,
        steps=steps,
        targets=(Target("dog", box),),
        task="grounding",
        split="train",
        image_key=str(number),
        provenance=Provenance("tests", "tests", "MIT"),
        size=size,
    )


def asked(base: Base, rows: int, side: str = "left", pictures: int = 1) -> dict[str, Tensor]:
    """Prompts of different lengths about pictures of different sizes, as the base reads them."""
    if base.processor is None:
        return without_processor(rows)
    texts = ["Where is it?", "What colour is the dog on the left?", "Why?"][:rows]
    seen = [[picture(i + 7 * k, SIZES[i]) for k in range(pictures)] for i in range(rows)]
    images = seen if base.reads_pictures else [None] * rows
    return model_inputs(
        base, [chat_text(base.processor, text, pictures * base.reads_pictures) for text in texts], images, side=side
    )


def without_processor(rows: int) -> dict[str, Tensor]:
    """What Llama 4's processor would give of square pictures: four tokens and one tile each."""
    draw = torch.Generator().manual_seed(0)
    words = torch.randint(60, 200, (rows, 12), generator=draw)
    ids = torch.cat([torch.full((rows, 4), ID["<|image|>"]), words], 1)
    pixels = torch.randn(rows, 3, 28, 28, generator=draw)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": pixels}


def logits(base: Base, inputs: dict[str, Tensor]) -> Tensor:
    with torch.no_grad():
        return base.model(**inputs, use_cache=False).logits


def bank_of(base: Base, kind: str = "twin", seed: int = 0, **config: Any) -> Bank:
    return build_bank(kind, find_taps(base.model, 1), base.model, config, seed)


@pytest.mark.parametrize("name", FAMILIES)
def test_taps_are_found_in_every_layer(loaded: Callable[[str], Base], name: str) -> None:
    model = loaded(name).model
    taps = find_taps(model, 1)
    assert [tap.layer for tap in taps] == list(range(LAYERS))
    assert tuple(tap.layer for tap in taps if tap.sparse) == FAMILIES[name].sparse
    assert all(tap.hidden == 32 for tap in taps)
    assert (active_parameters(model) < total_parameters(model)) == bool(FAMILIES[name].sparse)


@pytest.mark.parametrize("name", FAMILIES)
def test_untouched_rows_are_those_of_plain_transformers(loaded: Callable[[str], Base], name: str) -> None:
    base = loaded(name)
    kind = AutoModelForImageTextToText if FAMILIES[name].processor else AutoModelForCausalLM
    plain = kind.from_pretrained(base.path).eval()
    repair(plain)
    inputs = asked(base, 3)
    with torch.no_grad():
        expected = plain(**inputs, use_cache=False).logits
        if base.model.config.get_text_config()._experts_implementation == EXPERTS:
            torch.testing.assert_close(logits(base, inputs), expected, atol=1e-4, rtol=1e-4)
            plain.set_experts_implementation(EXPERTS)  # other rounding, the same for a row whatever is beside it
            expected = plain(**inputs, use_cache=False).logits
    assert torch.equal(logits(base, inputs), expected)
    with attach(base.model, find_taps(base.model, 1)) as attachment:
        assert torch.equal(logits(base, inputs), expected)
        attachment.add("new", bank_of(base))
        attachment.add("used", disturbed(bank_of(base)))
        with attachment.bank("new"):
            assert torch.equal(logits(base, inputs), expected)
        with attachment.rows(["used", None, "used"]):
            mixed = logits(base, inputs)
        assert torch.equal(mixed[1], expected[1])
        assert not torch.allclose(mixed[0], expected[0], atol=1e-2)
    assert torch.equal(logits(base, inputs), expected)


def encoded(base: Base, sizes: Any = SIZES) -> Batch:
    return encode(base.processor, [example(i, size) for i, size in enumerate(sizes)], pack=False)


def by_hand(rows: int = 3) -> Any:
    """A batch of `without_processor` whose last two words are the answer."""
    inputs = without_processor(rows)
    labels, steps = torch.full_like(inputs["input_ids"], -100), torch.full_like(inputs["input_ids"], -1)
    labels[:, -2:], steps[:, -2:] = inputs["input_ids"][:, -2:], 0
    return Batch(
        **inputs,
        labels=labels,
        step_ids=steps,
        step_weights=torch.ones(rows, 1),
        position_ids=None,
        step_names=["answer"],
    )


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("kind", ["twin", pytest.param("lora", marks=pytest.mark.slow)])
def test_a_bank_trains_beside_a_frozen_base(loaded: Callable[[str], Base], name: str, kind: str) -> None:
    base = loaded(name)
    before = digest(base.model.state_dict().items())
    batch = by_hand() if base.processor is None else encoded(base)
    config = {"attention": True} if kind == "lora" else {}
    bank = bank_of(base, kind, **config)
    with attach(base.model, find_taps(base.model, 1)) as attachment:
        module = BankModule(base.model, attachment, bank, TrainConfig(cache_mb=0))
        optimizer = BankOptimizer(bank.parameters(), lr=3e-2, weight_decay=0.0)
        losses = []
        for _ in range(8):
            loss, _ = module.losses(batch)
            losses.append(loss.item())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert losses[-1] < 0.9 * losses[0], losses
        assert [n for n, p in bank.named_parameters() if p.grad is None or not bool(p.grad.any())] == []
        bank.requires_grad_(False)
        inputs = asked(base, 2)
        manifest = SimpleNamespace(kind=kind, bank_config=bank.bank_config(), base=base.fingerprint)
        attachment.add("loaded", load_bank(manifest, bank_bytes(bank), base))
        with attachment.bank("training"):
            trained = logits(base, inputs)
        with attachment.bank("loaded"):
            assert torch.equal(logits(base, inputs), trained)
    assert digest(base.model.state_dict().items()) == before
    assert not any(p.requires_grad or p.grad is not None for p in base.model.parameters())


@pytest.mark.parametrize("name", FAMILIES)
def test_rows_of_many_banks_and_generation(loaded: Callable[[str], Base], name: str) -> None:
    base = loaded(name)
    inputs = asked(base, 3)
    with attach(base.model, find_taps(base.model)) as attachment:
        attachment.add("a", disturbed(bank_of(base, seed=1), 1))
        attachment.add("b", disturbed(bank_of(base, "lora", seed=2, attention=True), 2))
        owners = ["a", "b", None]
        with attachment.rows(owners):
            mixed = logits(base, inputs)
            words = [generated(base, inputs, cache) for cache in (True, False)]
        assert torch.equal(*words)
        for row, owner in enumerate(owners):
            with attachment.bank(owner):
                torch.testing.assert_close(mixed[row], logits(base, inputs)[row], atol=MIXED, rtol=MIXED)
        if base.processor is not None:
            texts = [
                answer(base, attachment, questions(base), owners, max_new_tokens=4, batch_size=size)
                for size in (1, 2, 3)
            ]
            assert texts[0] == texts[1] == texts[2]


def questions(base: Base) -> list[Request]:
    texts = ["Where is it?", "What colour is the dog on the left?", "Why?"]
    return [Request(t, picture(i, SIZES[i]) if base.reads_pictures else None) for i, t in enumerate(texts)]


def generated(base: Base, inputs: dict[str, Tensor], cache: bool) -> Tensor:
    # no special tokens: without a cache, a model would read those of a picture as if they stood for one
    options = {"max_new_tokens": 4, "do_sample": False, "suppress_tokens": list(range(len(SPECIAL)))}
    with torch.no_grad():
        out = base.model.generate(**inputs, **options, use_cache=cache)
    return out[:, inputs["input_ids"].shape[1] :]


@pytest.mark.parametrize("name", READ)
def test_padding_on_either_side_changes_no_row(loaded: Callable[[str], Base], name: str) -> None:
    base = loaded(name)
    sides = {side: asked(base, 3, side) for side in ("left", "right")}
    made = {side: logits(base, inputs) for side, inputs in sides.items()}
    for row in range(3):
        of_row = {side: made[side][row][inputs["attention_mask"][row].bool()] for side, inputs in sides.items()}
        torch.testing.assert_close(of_row["left"], of_row["right"], atol=MIXED, rtol=MIXED)


@pytest.mark.parametrize("name", READ)
def test_what_is_learned_is_what_is_asked(loaded: Callable[[str], Base], name: str) -> None:
    base = loaded(name)
    batch = encoded(base)
    for row, size in enumerate(SIZES):
        one = example(row, size)
        image = one.open() if base.reads_pictures else None
        prompt = model_inputs(base, [chat_text(base.processor, one.prompt, image is not None)], [image])["input_ids"][0]
        first = int((batch.labels[row] != -100).nonzero()[0])
        start = int(batch.attention_mask[row].nonzero()[0])
        between = batch.input_ids[row][start:first].tolist()
        assert between[: len(prompt)] == prompt.tolist()
        for column, step in ((0, one.steps[0]), (1, one.steps[1])):
            learned = batch.labels[row][batch.step_ids[row] == column]
            assert base.processor.batch_decode(learned[None], skip_special_tokens=True)[0].strip() == step.answer


@pytest.mark.parametrize("name", PICTURED)
def test_several_pictures_of_odd_sizes(loaded: Callable[[str], Base], name: str) -> None:
    base = loaded(name)
    token = image_token_id(base.model)
    one, two = asked(base, 1), asked(base, 1, pictures=2)
    counts = [int((inputs["input_ids"] == token).sum()) for inputs in (one, two)]
    assert min(counts) > 0
    seen = logits(base, two)
    text = chat_text(base.processor, "Where is it?", 2)
    other = model_inputs(base, [text], [[picture(0, SIZES[0]), picture(99, SIZES[0])]])
    assert other["input_ids"].tolist() == two["input_ids"].tolist()
    assert not torch.allclose(logits(base, other), seen, atol=1e-3)  # the second picture is looked at


@pytest.mark.parametrize("name", PICTURED)
def test_boxes_are_of_the_original_picture(loaded: Callable[[str], Base], name: str) -> None:
    """Whatever a family resizes a picture to, what is learned and read back are fractions of the original's sides."""
    base = loaded(name)
    cropping = name == "llava"  # LLaVA-1.5's processor cuts the sides off
    assert [sees_sides(base, size) for size in ((900, 300), (300, 900))] == [not cropping] * 2
    for size in ((40, 200), (333, 57)):
        one = example(1, size)
        batch = encode(base.processor, [one], pack=False)
        written = base.processor.batch_decode(batch.labels[0][batch.step_ids[0] == 1][None], skip_special_tokens=True)
        [(_, box)] = get_grammar("brackets").parse(written[0].strip())
        found, true = to_pixels(box, one.size), to_pixels(one.targets[0].box, size)
        assert all(abs(a - b) <= 0.0051 * max(size) for a, b in zip(found, true, strict=True))


@pytest.mark.parametrize("name", PICTURED)
def test_the_router_looks_through_the_base(loaded: Callable[[str], Base], name: str) -> None:
    base = loaded(name)
    embedder = TrunkEmbedder(base)
    asks = [Request("Where is it?", picture(i, (64, 64))) for i in range(2)]
    rows = embedder.embed([*asks, Request("How many?", asks[0].image)])
    assert rows.shape == (3, 3 * 32) and np.isfinite(rows).all()
    assert not np.allclose(rows[0], rows[2], atol=1e-4)
    below = name != "mllama"  # there, pictures enter by cross-attention in the very layer that is tapped first
    assert np.allclose(rows[0], rows[1], atol=1e-4) != below


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in SOME else pytest.mark.slow) for n in READ])
def test_the_dtype_is_kept(loaded: Callable[[str], Base], name: str, dtype: str) -> None:
    wanted = getattr(torch, dtype)
    base = load_base(str(loaded(name).path), dtype=dtype)
    kind = AutoModelForImageTextToText if FAMILIES[name].processor else AutoModelForCausalLM
    plain = kind.from_pretrained(base.path, dtype=wanted).eval()
    kinds = {k: v.dtype for k, v in plain.state_dict().items()}
    assert {k: v.dtype for k, v in base.model.state_dict().items()} == kinds
    inputs = asked(base, 2)
    with torch.no_grad():
        expected = plain(**inputs, use_cache=False).logits
    assert expected.dtype == wanted and torch.equal(logits(base, inputs), expected)
    bank = bank_of(base)
    assert all(p.dtype == torch.float32 for p in bank.parameters())  # a bank in higher precision than its base
    with attach(base.model, find_taps(base.model, 1)) as attachment:
        module = BankModule(base.model, attachment, bank, TrainConfig(cache_mb=0))
        with attachment.bank("training"):
            assert torch.equal(logits(base, inputs), expected)
        loss, _ = module.losses(encoded(base))
        loss.backward()
        assert all(bool(torch.isfinite(p.grad).all()) for p in bank.parameters() if p.grad is not None)


def test_a_base_keeps_the_dtype_it_was_saved_in(loaded: Callable[[str], Base], tmp_path: Path) -> None:
    base = loaded("llama")
    replace(base).model.to(torch.bfloat16).save_pretrained(tmp_path)
    base.model.to(torch.float32)
    base.processor.tokenizer.save_pretrained(tmp_path)
    (tmp_path / "chat_template.jinja").write_text(FAMILIES["llama"].template or "")
    assert load_base(str(tmp_path)).model.dtype == torch.bfloat16
    assert load_base(str(tmp_path), dtype="float32").model.dtype == torch.float32
    (tmp_path / "base.yaml").write_text("dtype: float16\n")
    assert load_base(str(tmp_path)).model.dtype == torch.float16


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in SOME else pytest.mark.slow) for n in READ])
def test_gradient_checkpointing_gives_the_same_gradients(loaded: Callable[[str], Base], name: str) -> None:
    base = loaded(name)
    batch = encoded(base)
    gradients: list[Any] = []
    calls: list[int] = []
    last = base.model.get_submodule(find_taps(base.model)[-1].name)
    handle = last.register_forward_pre_hook(lambda *_: calls.append(1))
    for thrifty in (False, True):
        bank = disturbed(bank_of(base, "lora")).requires_grad_(True)
        with attach(base.model, find_taps(base.model, 1)) as attachment:
            config = TrainConfig(cache_mb=0, gradient_checkpointing=thrifty)
            loss, _ = BankModule(base.model, attachment, bank, config).losses(batch)
            loss.backward()
        gradients.append([p.grad for p in bank.parameters()])
    handle.remove()
    assert len(calls) == 1 + 2  # kept once, then computed anew
    for plain, anew in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, anew)
