"""A home finds the base of its registry again: where it was, by its name, or where the user says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lynx_cl.base.places import FILE, base_of, detector_place, remember_base
from lynx_cl.errors import LynxError, UsageError
from lynx_cl.home import shipped
from lynx_cl.registry import Registry
from tests.registry.samples import made


def test_where_a_base_lies(tmp_path: Path) -> None:
    registry = made(tmp_path / "home" / "registry", "grounding")
    fingerprint = registry.head().base.fingerprint
    assert base_of(Registry(tmp_path / "none" / "registry"), "./mine") == "./mine"
    assert base_of(registry) == registry.head().base.name == "nano"
    folder = tmp_path / "weights"
    folder.mkdir()
    remember_base(registry, fingerprint, folder)
    remember_base(registry, "other", tmp_path)
    assert base_of(registry, "./mine") == str(folder)
    shutil.rmtree(folder)
    assert base_of(registry) == "nano"  # shipped, so found by its name
    (tmp_path / "home" / FILE).write_text("{")
    with pytest.raises(LynxError, match="bases.json: not valid JSON"):
        base_of(registry)


def test_a_base_that_was_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = made(tmp_path / "home" / "registry", "grounding")
    (tmp_path / "shipped" / "bases").mkdir(parents=True)
    monkeypatch.setattr("lynx_cl.home.shipped", lambda name: tmp_path / "shipped")
    remember_base(registry, registry.head().base.fingerprint, tmp_path / "gone")
    with pytest.raises(LynxError, match=f"its base 'nano' was at {tmp_path / 'gone'}, and is not there now; give its"):
        base_of(registry)
    (tmp_path / "moved").mkdir()
    assert base_of(registry, str(tmp_path / "moved")) == str(tmp_path / "moved")


def test_a_detector_that_ships_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert detector_place("scenes-dino") == shipped("registry") / "detectors" / "scenes-dino"
    (tmp_path / "scenes-dino").mkdir()
    assert detector_place("scenes-dino") == Path("scenes-dino")  # a folder of one's own comes first
    assert detector_place("owner/name") is None
    with pytest.raises(UsageError, match="detector other: no such folder"):
        detector_place("other")
