"""Twins: copies are found whatever their size and format, and pictures that merely resemble are not."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image, ImageFilter

from lynx_cl.base.places import remember_base
from lynx_cl.cli.main import main
from lynx_cl.data.hygiene import Drawn, shared_pictures
from lynx_cl.data.scenes import make_scene
from lynx_cl.data.twins import look, perceptual_hash, thumbnail, twins
from lynx_cl.errors import LynxError
from lynx_cl.registry import Registry
from tests.data.folders import talk, write_llava, write_voc
from tests.registry.samples import BASE


def photograph(seed: int, size=(120, 90)) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


def test_the_hash_is_that_of_imagehash():
    # imagehash 4.3.2, str(phash(...)) of the same pictures
    assert f"{perceptual_hash(thumbnail(photograph(0))):016x}" == EXPECTED[0]
    assert f"{perceptual_hash(thumbnail(photograph(1))):016x}" == EXPECTED[1]


EXPECTED = ("c0a7ecd64252ecba", "8bb89da0c4b67e98")


@pytest.mark.parametrize(
    "change",
    [
        lambda p, path: p,
        lambda p, path: p.resize((300, 225)),
        lambda p, path: p.convert("L"),
        lambda p, path: p.filter(ImageFilter.GaussianBlur(1)),
        lambda p, path: (p.save(path / "a.jpg", quality=40), Image.open(path / "a.jpg"))[1],
    ],
)
def test_a_copy_in_another_form_is_a_twin(tmp_path, change):
    tested = [look("a", "test", str(i), photograph(i)) for i in range(20)]
    found = list(twins(tested, [look("b", "train", "copy", change(photograph(7), tmp_path))]))
    assert [(one.test, one.train) for one in found] == [(("a", "test", "7"), ("b", "train", "copy"))]


def test_different_pictures_are_no_twins():
    tested = [look("a", "test", str(i), photograph(i)) for i in range(200)]
    assert not list(twins(tested, (look("b", "train", str(i), photograph(i)) for i in range(1000, 1700))))
    scenes = [look("s", "test", str(i), make_scene("test", 0, i).image) for i in range(150)]
    assert not list(twins(scenes, (look("s", "train", str(i), make_scene("train", 0, i).image) for i in range(150))))
    flat = [look("a", "test", "white", Image.new("RGB", (9, 9), "white"))]
    assert not list(twins(flat, [look("a", "train", "black", Image.new("RGB", (9, 9), "black"))]))


@pytest.fixture
def folders(tmp_path):
    """A VOC folder and a file of conversations, one of whose training pictures is the VOC test picture, smaller."""
    names = {f"{i:03}": [("WBC", 1, 1, 20, 15)] for i in range(6)}
    voc = write_voc(tmp_path / "voc", names, {"train": ["000", "001", "002"], "val": ["003"], "test": ["004", "005"]})
    for number, name in enumerate(names):
        photograph(number, (40, 30)).save(voc / "JPEGImages" / f"{name}.jpg", quality=95)
    file = write_llava(tmp_path / "talk", 40)
    for number in range(40):
        photograph(100 + number).save(file.parent / "images" / f"train-{number:03}.png")
    return voc, file


def facts(capsys, *arguments):
    code = main(["data", "check", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_a_test_picture_that_another_task_learns_from_is_told(folders, capsys):
    voc, file = folders
    spec = f"llava:{file}?images=images"
    assert facts(capsys, f"voc:{voc}", "--against", spec)[0] == 0
    learned = next(e for e in Drawn(spec)._pictures("train"))
    photograph(4, (200, 150)).save(learned[1])
    code, found = facts(capsys, f"voc:{voc}", "--against", spec)
    assert code == 1 and found["broken"] == [] and len(found["sources"]) == 2
    (line,) = found["shared"]
    assert line.startswith(f"voc:{voc}, test: '004' looks like '{learned[0]}' of llava:{file}") and "train" in line
    assert facts(capsys, spec, "--against", f"voc:{voc}")[0] == 1  # whichever is named first
    assert main(["data", "check", f"voc:{voc}"]) == 0
    assert capsys.readouterr().err.strip() == f"voc:{voc}: nothing broken"


def test_a_source_is_compared_with_itself(folders, capsys):
    voc, _ = folders
    photograph(5, (40, 30)).save(voc / "JPEGImages" / "001.jpg", quality=60)
    code, found = facts(capsys, f"voc:{voc}", "--against", f"voc:{voc}")
    assert code == 1 and len(found["sources"]) == 1 and "'005' looks like '001'" in found["shared"][0]


def test_what_the_base_of_a_registry_learned_from_is_compared_too(folders, tmp_path, capsys, monkeypatch):
    voc, _ = folders
    monkeypatch.setattr("lynx_cl.data.hygiene.LOOKED_AT", 20)
    make_scene("pretrain", 0, 7).image.resize((40, 30)).save(voc / "JPEGImages" / "004.jpg", quality=95)
    home = tmp_path / "home"
    check = (f"voc:{voc}", "--registry", "--home", str(home))
    assert facts(capsys, *check)[0] == 0  # no registry yet, so no base
    Registry(home / "registry").init(BASE, "nano", files={"router": b"statistics of the base"})
    code, found = facts(capsys, *check)
    assert code == 1 and found["sources"] == [f"voc:{voc}", "scenes (the first 20 that the base learned from)"]
    (line,) = found["shared"]
    assert "'004' looks like 'scenes/0/7' of scenes, pretrain" in line


def test_a_base_that_learned_from_what_is_checked(folders, tmp_path, capsys):
    """The source's own test pictures are still looked for, and each twin is told once."""
    voc, _ = folders
    photograph(5, (40, 30)).save(voc / "JPEGImages" / "001.jpg", quality=60)
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text('{"model_type": "llava"}')
    (base / "model.safetensors").write_bytes(b"")
    (base / "base.yaml").write_text(json.dumps({"data": [f"voc:{voc}"]}))
    registry = Registry(tmp_path / "home" / "registry")
    registry.init(BASE, "mine", files={"router": b"statistics of the base"})
    remember_base(registry, BASE, base)
    code, found = facts(capsys, f"voc:{voc}", "--registry", "--home", str(tmp_path / "home"))
    assert code == 1 and found["sources"] == [f"voc:{voc}"]
    assert len(found["shared"]) == 1 and "'005' looks like '001'" in found["shared"][0]


def test_broken_records_make_the_check_fail_and_do_not_stop_it(folders, capsys):
    voc, file = folders
    file.write_text(file.read_text() + "{\n" + json.dumps(talk("none.png", "a?", "b")) + "\n")
    (voc / "JPEGImages" / "004.jpg").write_bytes(b"x")
    code, found = facts(capsys, f"llava:{file}?images=images&max_broken=0.5", "--against", f"voc:{voc}")
    assert code == 1 and [line.partition(": ")[0] for line in found["broken"]] == [
        f"{file}, line 41",
        f"{file}, line 42",
    ]
    assert main(["data", "check", f"llava:{file}"]) == 1
    captured = capsys.readouterr()
    assert captured.out.count("\n") == 42 and captured.err.strip().endswith("42 broken")


def test_a_file_that_is_broken_as_a_whole(tmp_path, capsys):
    (tmp_path / "a.json").write_text("[1, ")
    code, found = facts(capsys, f"llava:{tmp_path / 'a.json'}")
    assert code == 1 and "a.json, line 1: breaks off" in found["broken"][-1]


def test_mistakes(folders, capsys):
    voc, _ = folders
    for arguments in (["scenes"], ["vok:x"], [f"voc:{voc}", "--against", "lava:x"]):
        assert main(["data", "check", *arguments]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(LynxError):
        list(shared_pictures([Drawn("llava:/no/such/file")]))
