"""One task in one file: it comes back as it was, and nothing else comes in."""

from __future__ import annotations

import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from lynx_cl.cli.main import main
from lynx_cl.errors import LynxError, UsageError
from lynx_cl.registry import Registry, verify
from lynx_cl.registry.algebra import remove_task
from lynx_cl.registry.archive import export_task, import_archive, read_archive
from lynx_cl.registry.canonical import canonical, sha256
from lynx_cl.router.statistics import TaskStatistics, check_statistics, summed
from tests.registry.samples import BASE, OTHER_BASE, manifest, record


class Axes:
    """An embedder's facts; the vectors are given."""

    name, digest, dimension, near = "text", "d" * 64, 4, 0.4


def statistics(task: str, **changes) -> bytes:
    rows = np.random.default_rng(len(task)).normal(size=(12, 4)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    made = summed(task, [f"request {i} of {task}" for i in range(12)], rows, Axes())
    return TaskStatistics(**{**{name: getattr(made, name) for name in made.__dataclass_fields__}, **changes}).to_bytes()


def weights(task: str, value: float = 1.0) -> bytes:
    return safetensors.numpy.save({f"{task}.alpha": np.full(3, value, np.float32)})


def made(path: Path, *tasks: str, base: str = BASE, **files: bytes) -> Registry:
    registry = Registry(path)
    registry.init(base, "nano")
    for task in tasks:
        parts = {"bank": weights(task), "router": statistics(task), **files}
        registry.add(manifest(task, base=base), parts, record(), record_files={"certificate": b'{"held":1}'})
    return registry


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    registry = made(tmp_path / "from", "counting", "grounding")
    export_task(registry, "grounding", tmp_path / "grounding.lynx")
    return tmp_path / "grounding.lynx"


def take(registry: Registry, path: Path, **options):
    return import_archive(registry, path, checks={"router": check_statistics}, **options)


def test_a_task_comes_back_as_it_was(tmp_path, archive):
    target = Registry(tmp_path / "to")
    assert take(target, archive).taken == ("grounding",)
    origin = Registry(tmp_path / "from")
    assert target.task("grounding") == origin.task("grounding")
    remove_task(origin, "counting")
    assert target.head().state == origin.head().state and verify(target) == []
    assert take(target, archive).taken == () and len(target.log()) == 2


def test_an_entry_without_a_score_comes_in_and_one_with_a_wrong_score_does_not(tmp_path):
    for number, (listed, words) in enumerate(((None, None), (0.5, "says other things of grounding"))):
        origin = made(tmp_path / f"from{number}")
        scored = record().but(scores={"blind": {"grounding": 0.9}})
        origin.add(manifest(), {"bank": weights("grounding")}, scored)

        def rescored(parent, origin=origin, listed=listed):
            entries = origin.entries(parent)
            entry = entries["grounding"]
            return {
                "tasks": entries.put("grounding", entry.but(versions={1: entry.versions[1].but(score=listed)})).root
            }

        origin.commit(rescored, command="update-task")
        export_task(origin, "grounding", tmp_path / "g.lynx")
        target = Registry(tmp_path / f"to{number}")
        if words is None:
            assert take(target, tmp_path / "g.lynx").taken == ("grounding",)
        else:
            with pytest.raises(LynxError, match=words):
                take(target, tmp_path / "g.lynx")


def test_equal_content_gives_an_equal_file_without_owner_or_time(tmp_path, archive):
    export_task(Registry(tmp_path / "from"), "grounding", tmp_path / "again.lynx")
    assert (tmp_path / "again.lynx").read_bytes() == archive.read_bytes()
    with tarfile.open(archive) as opened:
        assert {(m.uid, m.mtime, m.uname) for m in opened} == {(0, 0, "")}
    assert not list(tmp_path.glob("archive-*"))


def test_a_conflict_is_told_and_settled(tmp_path, archive):
    target = made(tmp_path / "to", "grounding", bank=weights("grounding", 2.0))
    before, objects = target.head_digest(), list(target.objects)
    with pytest.raises(LynxError, match="1 conflicts, nothing was taken: grounding .*--prefer"):
        take(target, archive)
    assert target.head_digest() == before and list(target.objects) == objects
    assert take(target, archive, prefer="both").settled == ("grounding",)
    assert len(target.entries()["grounding"].versions) == 2


def test_a_bank_of_another_base_is_refused_with_both_names(tmp_path, archive):
    target = Registry(tmp_path / "to")
    target.init(OTHER_BASE, "other")
    before = list(target.objects)
    with pytest.raises(LynxError, match=f"fit the base other .{OTHER_BASE[:12]}., not nano .*{BASE[:12]}"):
        take(target, archive)
    assert target.tasks() == () and list(target.objects) == before


def repacked(archive: Path, change) -> Path:
    """The archive with its members, a list of (TarInfo, bytes), changed."""
    with tarfile.open(archive) as opened:
        members = [(member, opened.extractfile(member).read()) for member in opened]
    path = archive.with_name("changed.lynx")
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as written:
        for member, data in change(members):
            member.size = len(data) if member.isreg() else 0
            written.addfile(member, io.BytesIO(data))
    return path


def renamed(name: str):
    def change(members):
        extra = tarfile.TarInfo(name)
        return [*members, (extra, b"x")]

    return change


def special(kind: bytes, link: str = ""):
    def change(members):
        extra = tarfile.TarInfo(f"objects/{'a' * 64}")
        extra.type, extra.linkname = kind, link
        return [*members, (extra, b"")]

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (renamed("/etc/passwd"), "does not belong there"),
        (renamed("../../outside"), "does not belong there"),
        (renamed("objects/../snapshot.json"), "does not belong there"),
        (renamed("objects/" + "A" * 64), "does not belong there"),
        (renamed("objects/" + "a" * 64), "its bytes are not those of its name"),
        (renamed("objects/" + sha256(b"x")), "which nothing in it names"),
        (special(tarfile.SYMTYPE, "/etc/passwd"), "is no plain file"),
        (special(tarfile.LNKTYPE, "snapshot.json"), "is no plain file"),
        (special(tarfile.CHRTYPE), "is no plain file"),
        (special(tarfile.FIFOTYPE), "is no plain file"),
        (special(tarfile.DIRTYPE), "is no plain file"),
        (lambda members: [*members, members[-1]], "is there twice"),
        (lambda members: [*members, members[0]], "is there twice"),
        (lambda members: members[1:], "holds no snapshot.json"),
        (lambda members: members[:-1], "lacks "),
        (
            lambda members: [(members[0][0], members[0][1].replace(b'"format":1', b'"format":2')), *members[1:]],
            "format",
        ),
        (lambda members: [(members[0][0], members[0][1] + b" "), *members[1:]], "not as lynx-cl writes it"),
    ],
)
def test_what_does_not_belong_is_refused_and_nothing_is_written(tmp_path, archive, change, words):
    path = repacked(archive, change)
    target = made(tmp_path / "to", "counting")
    before, objects = target.head_digest(), list(target.objects)
    with pytest.raises(LynxError, match=words):
        take(target, path)
    assert (target.head_digest(), list(target.objects)) == (before, objects)
    fresh = Registry(tmp_path / "fresh")
    with pytest.raises(LynxError, match=words):
        take(fresh, path)
    assert not fresh.path.exists()


class Bomb:
    def __reduce__(self):
        return (open, ("exploded", "w"))


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"bank": pickle.dumps(Bomb())}, "bank of grounding: no safetensors file"),
        ({"bank": (1 << 62).to_bytes(8, "little") + b"{}"}, "no safetensors file"),
        ({"bank": weights("grounding", float("nan"))}, "tensor 'grounding.alpha' holds numbers that are not finite"),
        ({"bank": weights("grounding", float("inf"))}, "not finite"),
        ({"router": b"statistics"}, "no router statistics"),
        ({"router": statistics("grounding", count=13)}, "the counts of its router statistics do not agree"),
        ({"router": statistics("grounding", texts=("one",))}, "do not agree"),
        ({"router": statistics("grounding", sum=np.full(4, 9.0))}, "do not agree"),
        ({"router": statistics("grounding", exemplars=np.zeros((5, 16)))}, "do not agree"),
    ],
)
def test_what_a_file_must_not_hold_is_refused(tmp_path, monkeypatch, files, words):
    monkeypatch.chdir(tmp_path)
    export_task(made(tmp_path / "from", "grounding", **files), "grounding", tmp_path / "bad.lynx")
    with pytest.raises(LynxError, match=words):
        take(Registry(tmp_path / "to"), tmp_path / "bad.lynx")
    assert not (tmp_path / "to").exists() and not (tmp_path / "exploded").exists()


def test_bfloat16_that_is_not_finite_is_found(tmp_path):
    from lynx_cl.registry.weights import check_weights

    def stored(bits: int) -> bytes:
        header = canonical({"w": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}})
        return len(header).to_bytes(8, "little") + header + bits.to_bytes(2, "little")

    check_weights(stored(0x3F80), "here")  # 1.0
    for bits in (0x7F80, 0xFF80, 0x7FC0):
        with pytest.raises(LynxError, match="here: tensor 'w' holds numbers that are not finite"):
            check_weights(stored(bits), "here")


def test_every_length_of_a_cut_off_archive_is_refused(tmp_path, archive):
    data = archive.read_bytes()
    used = data.rstrip(b"\0")
    path = tmp_path / "cut.lynx"
    for length in [0, 1, 511, 512, 513, *range(600, len(used), 509)]:
        path.write_bytes(data[:length])
        with pytest.raises(LynxError):
            take(Registry(tmp_path / "to"), path)
    assert not (tmp_path / "to").exists()


def test_any_changed_byte_is_refused_or_changes_nothing(tmp_path, archive):
    data, rng = bytearray(archive.read_bytes()), np.random.default_rng(0)
    path, fresh = tmp_path / "changed.lynx", Registry(tmp_path / "fresh")
    take(fresh, archive)
    for number in range(300):
        place = int(rng.integers(len(data)))
        old, data[place] = data[place], data[place] ^ int(rng.integers(1, 256))
        path.write_bytes(data)
        data[place] = old
        target = Registry(tmp_path / f"to{number}")
        try:
            take(target, path)
        except LynxError:
            assert not target.path.exists()
        else:  # a byte of padding, or of a field that is not read, as the owner's name
            assert target.head().state == fresh.head().state


def test_an_archive_over_the_limit_is_refused(tmp_path, archive):
    with pytest.raises(LynxError, match="more than 1,000 bytes|larger than 1,000 bytes"):
        take(Registry(tmp_path / "to"), archive, limit=1000)
    lying = bytearray(archive.read_bytes())
    lying[124:136] = b"%011o\0" % (1 << 32)  # the first member says it is 4 GB
    (tmp_path / "lying.lynx").write_bytes(lying)
    with pytest.raises(LynxError):
        take(Registry(tmp_path / "to"), tmp_path / "lying.lynx")
    assert not (tmp_path / "to").exists()


def test_mistakes_are_told(tmp_path, archive):
    registry = Registry(tmp_path / "from")
    with pytest.raises(UsageError, match="no such file"):
        take(registry, tmp_path / "nowhere.lynx")
    with pytest.raises(UsageError, match="is a folder"):
        take(registry, tmp_path)
    with pytest.raises(UsageError, match="there is no folder"):
        export_task(registry, "grounding", tmp_path / "no" / "where.lynx")
    with pytest.raises(UsageError, match="known: counting, grounding"):
        export_task(registry, "ground", tmp_path / "x.lynx")
    (tmp_path / "text.lynx").write_text("hello")
    with pytest.raises(LynxError, match="no archive of lynx-cl"):
        take(registry, tmp_path / "text.lynx")


def test_the_commands(tmp_path, archive, capsys):
    home, file = tmp_path / "home", str(tmp_path / "out.lynx")
    assert main(["registry", "import", str(archive), "--home", str(home), "--json"]) == 0
    assert '"grounding"' in capsys.readouterr().out
    assert main(["registry", "export", "grounding@1", file, "--home", str(home)]) == 0
    (told, parts), (first, same) = (read_archive(Path(name)) for name in (file, archive))
    assert parts == same and told.but(time=first.time) == first  # the import was a commit of a later time
    assert main(["registry", "import", "nowhere", "--home", str(home)]) == 2
    assert main(["registry", "import", __file__, "--home", str(home)]) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 3  # what was exported, and one line a mistake
