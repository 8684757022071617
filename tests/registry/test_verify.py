"""Verification names every file of which one byte changed, and every file that is gone."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from lynx_cl.errors import LynxError
from lynx_cl.registry import Registry, objects, verify
from lynx_cl.registry.canonical import sha256
from tests.registry.samples import files, made, manifest


def stored(registry: Registry) -> list[Path]:
    """Every file that counts: objects, snapshots, head and log."""
    kinds = ("objects/sha256/*/*", "snapshots/*", "head", "log")
    return [path for kind in kinds for path in sorted(registry.path.glob(kind))]


def test_every_single_byte_change_is_found_and_named(tmp_path: Path) -> None:
    registry = made(tmp_path, "grounding", "counting")
    generator = random.Random(0)
    tried = 0
    for path in stored(registry):
        whole = path.read_bytes()
        every = range(len(whole)) if path.name == "head" else generator.sample(range(len(whole)), min(90, len(whole)))
        for position in every:
            changed = bytearray(whole)
            changed[position] ^= 1 << generator.randrange(8)
            path.write_bytes(changed)
            assert path.relative_to(tmp_path).as_posix() in {problem.path for problem in verify(registry)}
            tried += 1
        path.write_bytes(whole)
    assert tried >= 1000 and verify(registry) == []


def test_every_missing_file_is_found_and_named(tmp_path: Path) -> None:
    registry = made(tmp_path, "grounding", "counting")
    for path in stored(registry):
        whole = path.read_bytes()
        path.unlink()
        assert path.relative_to(tmp_path).as_posix() in {problem.path for problem in verify(registry)}
        path.write_bytes(whole)
    assert verify(registry) == []


def test_a_missing_file_is_told_by_its_part(tmp_path: Path) -> None:
    registry = made(tmp_path, "grounding")
    registry.objects.path(registry.task("grounding").bank).unlink()
    assert [problem.message for problem in verify(registry)] == ["missing: bank of grounding@1"]


def test_reading_checks_the_digest(tmp_path: Path) -> None:
    registry = made(tmp_path, "grounding")
    bank = registry.task("grounding").bank
    registry.objects.path(bank).write_bytes(b"weights of groundinG")
    with pytest.raises(LynxError, match="bytes have changed"):
        registry.read(bank)
    registry.objects.put(files("grounding")["bank"])  # putting the right bytes again mends the object
    assert registry.read(bank) == files("grounding")["bank"]


@pytest.mark.parametrize("damage", [b"", b"0" * 64, b"X" * 64 + b"\n", b"f" * 64 + b"\n"])
def test_a_damaged_head_is_never_taken_for_an_empty_registry(tmp_path: Path, damage: bytes) -> None:
    registry = made(tmp_path, "grounding")
    (tmp_path / "head").write_bytes(damage)
    with pytest.raises(LynxError):
        registry.list()
    with pytest.raises(LynxError):
        registry.add(manifest("counting"), files())
    (tmp_path / "head").unlink()
    with pytest.raises(LynxError, match="head: missing"):
        registry.init("b" * 64, "nano")


def test_a_torn_line_in_the_log_is_no_problem_and_the_next_commit_starts_a_new_one(tmp_path: Path) -> None:
    registry = made(tmp_path, "grounding")
    with open(tmp_path / "log", "ab") as log:
        log.write(b'{"command":"add-ta')
    registry.add(manifest("counting"), files("counting"))
    assert verify(registry) == [] and len(registry.log()) == 3


def test_a_checked_file_is_not_hashed_again_until_it_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[bytes] = []

    def counting(data: bytes) -> str:
        hashed.append(data)
        return sha256(data)

    registry = made(tmp_path, "grounding")
    bank = registry.task("grounding").bank
    path = registry.objects.path(bank)
    monkeypatch.setattr(objects, "sha256", counting)
    registry.read(bank)
    registry.read(bank)
    assert len(hashed) == 2  # just written: its times might not tell of another write
    monkeypatch.setattr(objects, "SETTLED", -1)
    registry.read(bank)
    registry.read(bank)
    assert len(hashed) == 3
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b"!")
    os.utime(path, ns=(0, 0))
    with pytest.raises(LynxError, match="bytes have changed"):
        registry.read(bank)
    path.write_bytes(whole)
    assert registry.read(bank) == whole
