"""What an add proves: the base and every earlier bank give the same logits, bit for bit, before and after it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch

from lynx_cl.base.fingerprint import digest
from lynx_cl.data.collate import encode
from lynx_cl.data.example import Example
from lynx_cl.data.understanding import understanding
from lynx_cl.errors import LynxError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lynx_cl.banks.attach import Attachment
    from lynx_cl.base.load import Base

PROBES = 4  # pictures of the probe batch
BASE_ROW = "base"


def probe(base: Base) -> dict[str, Any]:
    """The probe batch: a few fixed questions about fixed scenes, as model inputs. The same for every registry."""
    examples = understanding("calibration", PROBES, kinds=("describe",))
    return _inputs(base, examples)


def _inputs(base: Base, examples: Sequence[Example]) -> dict[str, Any]:
    batch = encode(base.processor, list(examples), pack=False)
    return {
        "input_ids": batch.input_ids,
        "attention_mask": batch.attention_mask,
        "pixel_values": batch.pixel_values,
    }


def probe_digests(base: Base, attachment: Attachment) -> dict[str, str]:
    """sha256 of the logits of the base and of every attached bank on the probe batch, by name."""
    inputs = probe(base)
    digests = {}
    for name in (None, *sorted(attachment.banks)):
        with torch.inference_mode(), attachment.bank(name):
            logits = base.model(**inputs, use_cache=False).logits
        digests[name or BASE_ROW] = digest([("logits", logits)])
    return digests


def check_retention(before: dict[str, str], after: dict[str, str]) -> None:
    """Raises LynxError naming the first bank whose logits are others now."""
    for name, value in before.items():
        if after.get(name) != value:
            raise LynxError(f"certify: the logits of '{name}' on the probe batch changed; nothing is committed")


def certificate(**parts: Any) -> bytes:
    """A certificate as JSON bytes; keys sorted."""
    return (json.dumps(parts, sort_keys=True, indent=1) + "\n").encode()
