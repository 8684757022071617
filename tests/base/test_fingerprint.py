"""Fingerprints change with any weight or setting, and with nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import LlavaForConditionalGeneration

from lynx_cl.base.fingerprint import digest, fingerprint, fingerprint_folder
from lynx_cl.errors import LynxError
from tests.families.tiny import tiny_llava


def test_digest_covers_name_dtype_shape_and_bytes_but_not_order() -> None:
    a, b = torch.arange(4.0), torch.tensor(2.0, dtype=torch.bfloat16)
    whole = digest([("a", a), ("b", b)])
    assert whole == digest([("b", b), ("a", a)]) == digest([("a", a.clone()), ("b", b)])
    others = [
        [("a", a), ("c", b)],
        [("a", a.reshape(2, 2)), ("b", b)],
        [("a", a.int()), ("b", b)],
        [("a", a + torch.tensor([0, 0, 0, 1e-6])), ("b", b)],
        [("a", a)],
    ]
    digests = {digest(tensors) for tensors in others} | {whole}
    assert len(digests) == len(others) + 1
    assert digest([("a", a.reshape(2, 2).T)]) == digest([("a", a.reshape(2, 2).T.contiguous())])


def test_a_saved_and_loaded_model_keeps_its_fingerprint(tmp_path: Path) -> None:
    model = tiny_llava()
    model.save_pretrained(tmp_path)
    assert fingerprint(LlavaForConditionalGeneration.from_pretrained(tmp_path)) == fingerprint(model)
    before = fingerprint(model)
    with torch.no_grad():
        model.lm_head.weight[0, 0] += 1e-3
    assert fingerprint(model) != before


def test_a_folder(tmp_path: Path) -> None:
    model = tiny_llava()
    model.save_pretrained(tmp_path)
    first = fingerprint_folder(tmp_path)
    (tmp_path / "notes.txt").write_text("not part of the base")
    assert fingerprint_folder(tmp_path) == first
    weights = tmp_path / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert fingerprint_folder(tmp_path) != first
    (tmp_path / "config.json").unlink()
    with pytest.raises(LynxError, match="cannot read config.json"):
        fingerprint_folder(tmp_path)
