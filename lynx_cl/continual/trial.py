"""Trying a base: does it load, is it tapped, does it see its pictures, does a bank train on it, and will it all fit?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import torch
from PIL import Image

from lynx_cl.banks.attach import attach
from lynx_cl.banks.base import build_bank
from lynx_cl.banks.growth import total_parameters
from lynx_cl.base.card import count_parameters, find_base, read_card
from lynx_cl.base.chat import chat_text, model_inputs
from lynx_cl.base.load import Base, load_base
from lynx_cl.base.quantise import quantised_bytes
from lynx_cl.base.taps import Tap, find_taps
from lynx_cl.continual.config import AddConfig
from lynx_cl.continual.finding import Finding
from lynx_cl.data.collate import encode
from lynx_cl.data.example import Example, Provenance, Step, Target
from lynx_cl.data.grammar import get_grammar
from lynx_cl.errors import LynxError
from lynx_cl.evaluation.generate import LONGEST
from lynx_cl.training.memory import (
    Need,
    bank_parameters,
    cache_bytes,
    kept_activations,
    trained_bytes,
    weight_bytes,
)
from lynx_cl.training.module import BankModule

PROMPT = "Locate the dog."
SIZE = (640, 480)  # a common photograph
NEEDED = "lora"  # asks least of a base; a twin need not fit
KINDS = (NEEDED, "twin")
LIBRARIES = 700_000_000  # bytes of what an add loads besides: run store, router's encoder; measured on Linux
SLACK = 1.25  # what is freed is not always used again; measured on nano
PACKED = 8  # conversations about one picture, where a base takes many in one row


def try_base(name: str, config: AddConfig, say: Callable[[str], None]) -> Iterator[Finding]:
    """Everything an add will ask of a base, each as a finding; stops where nothing further can be said."""
    place = find_base(name)
    free = psutil.virtual_memory().available
    program = psutil.Process().memory_info().rss + LIBRARIES
    if isinstance(place, Path):
        weights = _to_load(place)
        spread = read_card(place).device_map != "none"
        fits = weights < free or spread
        advice = "" if fits else "take a smaller base or dtype, a machine with more memory, or device_map: auto"
        told = "in all, spread by device_map" if spread else "once loaded"
        yield Finding("weights", fits, f"{_gb(weights)} {told}, {_gb(free)} of memory free", advice)
        if not fits:
            return
    say(f"loading {name}")
    started = time.monotonic()
    try:
        base = load_base(name)
    except LynxError as error:
        yield Finding("loads", False, "no", str(error))
        return
    dtype = str(base.model.dtype).removeprefix("torch.")
    took = time.monotonic() - started
    yield Finding("loads", True, f"{type(base.model).__name__} in {dtype}, {took:.0f} s")
    yield Finding("chat template", True, repr(chat_text(base.processor, PROMPT, base.reads_pictures)))
    if base.reads_pictures:
        yield from _sight(base)
    yield from _forward(base)
    try:
        taps = find_taps(base.model, config.taps.every, base.card.taps)
    except LynxError as error:
        yield Finding("taps", False, "none", str(error))
        return
    sparse = sum(tap.sparse for tap in taps)
    yield Finding("taps", True, f"{len(taps)}, from {taps[0].name} to {taps[-1].name}; {sparse} sparse")
    for kind in KINDS:
        say(f"trying a {kind} bank")
        yield _bank(base, taps, kind, config, free, program)


def _sight(base: Base) -> Iterator[Finding]:
    """Whether the base looks at its picture, and at all of it."""
    ids = [model_inputs(base, [chat_text(base.processor, PROMPT, True)], [_scene()])["input_ids"].shape[1]]
    yield Finding("picture", True, f"{ids[0]} tokens for a question about {SIZE[0]} x {SIZE[1]} pixels")
    cut = [name for name, size in (("wide", (900, 300)), ("tall", (300, 900))) if not sees_sides(base, size)]
    if cut:
        advice = "its processor crops: boxes near those sides cannot be learned; give it a size without a crop"
        yield Finding("whole picture", True, f"the sides of {' and '.join(cut)} pictures are cut off", advice)
    else:
        yield Finding("whole picture", True, "the sides of wide and tall pictures are seen")


def sees_sides(base: Base, size: tuple[int, int]) -> bool:
    """Whether what lies in the outer twentieth of a picture of (width, height) pixels reaches the model."""
    plain = Image.new("RGB", size, (90, 90, 90))
    edged = plain.copy()
    edge = (max(size) // 20, size[1]) if size[0] > size[1] else (size[0], max(size) // 20)
    edged.paste((250, 20, 20), (0, 0, *edge))
    text = chat_text(base.processor, PROMPT, True)
    seen = [model_inputs(base, [text], [picture]).get("pixel_values") for picture in (plain, edged)]
    return not all(tensor is None for tensor in seen) and not torch.equal(*seen)  # type: ignore[arg-type]


def _forward(base: Base) -> Iterator[Finding]:
    pictures = [_scene(), _scene().rotate(180)] if base.reads_pictures else [None]
    text = chat_text(base.processor, PROMPT, base.reads_pictures)
    started = time.monotonic()
    try:
        with torch.inference_mode():
            logits = [base.model(**model_inputs(base, [text], [picture])).logits for picture in pictures]
    except (RuntimeError, ValueError, IndexError, TypeError, AttributeError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        yield Finding("forward", False, reason, "the processor and the model do not fit; save both from one checkpoint")
        return
    took = (time.monotonic() - started) / len(logits)
    if not all(bool(torch.isfinite(one).all()) for one in logits):
        yield Finding(
            "forward", False, "its logits are not finite", "use another dtype: in its base card, dtype: float32"
        )
    elif len(logits) == 2 and torch.equal(*logits):
        yield Finding("forward", False, "two pictures give the same logits", "the picture does not reach the model")
    else:
        yield Finding("forward", True, f"{took:.2f} s, {logits[0].shape[-1]:,} tokens in the vocabulary")


def _bank(base: Base, taps: list[Tap], kind: str, config: AddConfig, free: int, program: int) -> Finding:
    """Trains a bank for one step on one example, in memory that was made sure of before.

    What is amiss with a kind that nobody need take is told, and no fault of the base."""
    found = _tried(base, taps, kind, config, free, program)
    return found if kind == NEEDED else replace(found, ok=True)


def _tried(base: Base, taps: list[Tap], kind: str, config: AddConfig, free: int, program: int) -> Finding:
    name = f"bank {kind}"
    settings = config.bank.get(kind, {})
    try:
        parameters = bank_parameters(kind, taps, base.model, settings)
        weights = weight_bytes(base.model)
        if weights + 16 * parameters > free:
            told = f"{parameters:,} parameters, {_gb(weights + 16 * parameters)} to train beside the base"
            return Finding(
                name, False, told, f"only {_gb(free)} are free; take fewer taps (taps.every=4) or another kind"
            )
        bank = build_bank(kind, taps, base.model, settings, config.train.seed)
        examples = [_example(base)] * (PACKED if base.card.packs else 1)
        batch = encode(base.processor, examples, pack=base.card.packs)
        with attach(base.model, taps) as attachment:
            module = BankModule(base.model, attachment, bank, config.train.model_copy(update={"cache_mb": 0}))
            started = time.monotonic()
            with kept_activations(base.model, bank) as kept:
                loss, _ = module.losses(batch)
            loss.backward()
            took = time.monotonic() - started
            with torch.inference_mode(), attachment.bank("training"):
                text = chat_text(base.processor, PROMPT, base.reads_pictures)
                inputs = model_inputs(base, [text], [_scene() if base.reads_pictures else None])
                cache = cache_bytes(base.model(**inputs, use_cache=True))
    except LynxError as error:
        return Finding(name, False, "does not fit", str(error))
    tokens = inputs["input_ids"].shape[1]
    need = Need(
        program,
        weights,
        trained_bytes(bank.parameters()),
        int(SLACK * kept[0] * config.pictures_per_batch),
        cache * (tokens + LONGEST) // tokens * config.evaluation.batch_size,
    )
    without = [p for p in bank.parameters() if p.grad is None or not bool(torch.isfinite(p.grad).all())]
    share = 100 * parameters / total_parameters(base.model)
    told = (
        f"{parameters:,} parameters, {share:.1f} % of the base; loss {loss.item():.2f}, {took:.2f} s a row; an add "
        f"needs about {_gb(need.total)}: program {_gb(need.program)}, base {_gb(need.weights)}, bank {_gb(need.bank)}, "
        f"a batch of {config.pictures_per_batch} {_gb(need.activations)}, {config.evaluation.batch_size} answers at "
        f"once {_gb(need.answers)}"
    )
    if without or not bool(torch.isfinite(loss)):
        return Finding(
            name, False, told, "its gradients are missing or not finite; use dtype: float32 in the base card"
        )
    advice = (
        "" if need.total < free else f"only {_gb(free)} are free; lower pictures_per_batch or evaluation.batch_size"
    )
    return Finding(name, need.total < free, told, advice)


def _example(base: Base) -> Example:
    box = (0.25, 0.25, 0.75, 0.5)
    answer = get_grammar(base.card.grammar).write(box)
    return Example(
        image=_scene,
        steps=(Step("Is there a dog?", "yes", 1.0, "relevant"), Step(PROMPT, answer, 1.0, "answer")),
        targets=(Target("dog", box),),
        task="trial",
        split="train",
        image_key="trial",
        provenance=Provenance("drawn", "drawn", "none"),
        size=SIZE,
    )


def _scene() -> Image.Image:
    """A picture with something on one side of it."""
    scene = Image.radial_gradient("L").resize(SIZE).convert("RGB")
    scene.paste((200, 40, 40), (160, 120, 480, 240))
    return scene


def _to_load(folder: Path) -> int:
    """Bytes that the weights of a base folder take once loaded."""
    card = read_card(folder)
    dtype = card.dtype
    if card.quantise != "none":
        return quantised_bytes(folder, card.quantise, None if dtype == "auto" else 4 if dtype == "float32" else 2)
    if dtype == "auto":
        return sum(file.stat().st_size for file in folder.glob("model*.safetensors"))
    return count_parameters(folder) * (4 if dtype == "float32" else 2)


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
