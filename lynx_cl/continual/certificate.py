"""What an add proves: the base and every earlier bank give the same logits, bit for bit, before and after it."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from lynx_cl.banks.external import ExternalBank, answer_outside
from lynx_cl.base.fingerprint import digest
from lynx_cl.data.collate import encode
from lynx_cl.data.example import Example
from lynx_cl.data.understanding import understanding
from lynx_cl.errors import LynxError

if TYPE_CHECKING:
    from lynx_cl.banks.attach import Attachment
    from lynx_cl.base.load import Base
    from lynx_cl.router.router import Router

PROBES = 4  # pictures of the probe batch
BASE_ROW = "base"
LIBRARIES = ("torch", "lightning", "transformers", "torchmetrics", "faiss-cpu", "safetensors")


def probe(base: Base) -> dict[str, Any]:
    """The probe batch: a few fixed questions about fixed scenes, as model inputs. The same for every registry."""
    examples = understanding("calibration", PROBES, kinds=("describe",))
    return _inputs(base, examples)


def _inputs(base: Base, examples: Sequence[Example]) -> dict[str, Any]:
    batch = encode(base.processor, list(examples), pack=False)
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask, **batch.more}
    if batch.pixel_values is not None:
        inputs["pixel_values"] = batch.pixel_values
    dtype = base.model.dtype
    return {name: value.to(dtype) if value.is_floating_point() else value for name, value in inputs.items()}


@dataclass(frozen=True)
class Probe:
    """sha256 of what the base and every attached bank make of the probe batch, by name.

    `logits` are exact to the bit, so they compare on one machine and one version of the libraries; `answers` are the
    likeliest tokens, which other arithmetic seldom changes.
    """

    logits: dict[str, str]
    answers: dict[str, str]


def probe_digests(base: Base, attachment: Attachment) -> Probe:
    """What the base and the banks of an attachment make of the probe batch."""
    inputs = probe(base)
    made = Probe({}, {})
    for name in (None, *sorted(attachment.banks)):
        outside = answer_outside(attachment.banks, name)
        if outside is not None:
            made.logits[str(name)], made.answers[str(name)] = _probe_outside(outside)
            continue
        with torch.inference_mode(), attachment.bank(name):
            logits = base.model(**inputs, use_cache=False).logits
        made.logits[name or BASE_ROW] = digest([("logits", logits)])
        made.answers[name or BASE_ROW] = digest([("answers", logits.argmax(-1))])
    return made


def _probe_outside(bank: ExternalBank) -> tuple[str, str]:
    """As `Probe`: what a detector makes of the probe's pictures, its scores and boxes, and its answers."""
    raw, texts = [], []
    for number, example in enumerate(understanding("calibration", PROBES, kinds=("describe",))):
        picture = example.open()
        found = bank.detect(bank.thing(example.prompt), picture)
        raw += [(f"{number} {name}", tensor) for name, tensor in zip(("scores", "boxes"), found, strict=True)]
        answer = bank.answer(example.prompt, picture).encode()
        texts.append((str(number), torch.tensor(list(answer), dtype=torch.uint8)))
    return digest(raw), digest(texts)


def check_retention(before: Probe, after: Probe) -> None:
    """Raises LynxError naming the first bank whose logits are others now."""
    for name, value in before.logits.items():
        if after.logits.get(name) != value:
            raise LynxError(f"certify: the logits of '{name}' on the probe batch changed; nothing is committed")


def router_errors(router: Router) -> dict[str, float]:
    """How much of each task's calibration requests a router sends elsewhere, in [0, 1].

    Of a task without calibration requests, of those that it keeps, which the router was solved from.
    """
    rows = {task.task: task.calibration if len(task.calibration) else task.exemplars for task in router.tasks}
    return {
        name: sum(decision.task != name for decision in router.decide_rows(own)) / len(own)
        for name, own in rows.items()
    }


def libraries() -> dict[str, str]:
    """Versions of the libraries that figures depend on."""
    return {name: importlib.metadata.version(name) for name in LIBRARIES}


def machine() -> dict[str, Any]:
    """What exact logits depend on beside the libraries."""
    return {
        "processor": platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
    }


def certificate(**parts: Any) -> bytes:
    """A certificate as JSON bytes; keys sorted."""
    return (json.dumps(parts, sort_keys=True, indent=1) + "\n").encode()
