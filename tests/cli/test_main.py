"""The command line as a user meets it: quick, one line for each mistake, JSON with the promised keys."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lynx_cl.cli import main as cli
from lynx_cl.cli.main import COMMANDS, main
from tests.registry.samples import made

HEAVY = ("torch", "transformers", "mlflow", "lightning", "faiss", "numpy", "matplotlib", "PIL")
ROW_KEYS = ["task", "version", "kind", "parameters", "growth_total", "growth_active", "base", "digest", "created"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lynx_cl", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["registry", "list"], ["doctor"], *([name, "--help"] for name in COMMANDS)]
)
def test_nothing_heavy_is_imported(arguments: list[str], tmp_path: Path) -> None:
    program = (
        "import sys; from lynx_cl.cli.main import main; main(sys.argv[1:]); "
        f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "LYNX_CL_HOME": str(tmp_path)}
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert done.stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("wanted", "spins"), [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None)]
)
def test_threads_that_wait_leave_their_core_to_others(
    monkeypatch: pytest.MonkeyPatch, wanted: dict[str, str], spins: str | None
) -> None:
    """Unless the user has said how they wait; torch reads that when it is loaded."""
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.setenv(name, "")  # so that what is set below is taken away again
        monkeypatch.delenv(name)
    for name, value in wanted.items():
        monkeypatch.setenv(name, value)
    assert main(["--help"]) == 0 and os.environ.get("GOMP_SPINCOUNT") == spins


def test_help_names_every_command() -> None:
    done = run("--help")
    assert done.returncode == 0 and all(name in done.stdout for name in COMMANDS)


def test_without_arguments_the_help_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "add-task" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["registri"], 2, "unknown command 'registri'; did you mean 'registry'?"),
        (["xyz"], 2, "known: add-task"),
        (["registry", "lst"], 2, "registry --help"),
        (["registry", "list", "--jsn"], 2, "see 'lynx-cl registry list --help'"),
        (["registry", "show"], 2, "Missing argument"),
        (["registry", "show", "grounding"], 1, "no registry yet"),
    ],
)
def test_a_mistake_is_one_line_and_an_exit_code(
    arguments: list[str],
    code: int,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LYNX_CL_HOME", str(tmp_path))
    assert main(arguments) == code
    printed = capsys.readouterr()
    assert printed.out == "" and words in printed.err and len(printed.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "bank.safetensors"), "bank.safetensors: the disk is full"),
        (OSError(errno.EROFS, "Read-only file system", "head"), "head: the filesystem is read-only"),
        (OSError(errno.EXDEV, "Invalid cross-device link", "objects/a"), "objects/a: it lies on another filesystem"),
        (PermissionError(errno.EACCES, "Permission denied", "head"), "head: permission denied"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "a/b"), "a/b: a file stands where a folder must be"),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "a"), "a: a folder stands where a file must be"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "the disk is full"),
        (KeyboardInterrupt(), "interrupted"),
    ],
)
def test_trouble_from_outside_is_one_line(
    error: BaseException, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(name: str) -> object:
        raise error

    monkeypatch.setattr(cli, "load", fail)
    assert main(["registry", "list"]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and words in lines[0]


def test_an_error_wrapped_by_a_library_is_recognised() -> None:
    wrapped = RuntimeError("cannot save")
    wrapped.__cause__ = OSError(errno.ENOSPC, "No space left on device", "a")
    assert cli.disk_trouble(wrapped) == "a: the disk is full; free some space, or name another folder with --home"
    assert cli.disk_trouble(ValueError("a fault of ours")) is None


def test_a_fault_of_the_program_shows_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> object:
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "load", fail)
    with pytest.raises(ZeroDivisionError):
        main(["doctor"])


def test_registry_list_show_and_verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    registry = made(tmp_path / "registry", "grounding", "counting")
    home = ["--home", str(tmp_path)]

    def facts(*arguments: str, code: int = 0) -> object:
        assert main([*arguments, "--json", *home]) == code
        return json.loads(capsys.readouterr().out)

    rows = facts("registry", "list")
    assert isinstance(rows, list) and [list(row) for row in rows] == [ROW_KEYS, ROW_KEYS]
    shown = facts("registry", "show", "grounding@1")
    assert isinstance(shown, dict) and shown["digest"] == rows[1]["digest"] and shown["versions"] == [1]
    assert set(shown["files"]) == {"bank", "router", "certificate"} and shown["training"] == {"seed": 0}
    assert facts("registry", "show", "grounding", "--certificate") == {"retention": "held"}
    assert facts("registry", "verify") == {"ok": True, "objects": 12, "problems": []}

    assert main(["registry", "list", *home]) == 0
    assert "grounding\t1\ttwin\t1,000\t10.0 %\t5.0 %\t-\tnano" in capsys.readouterr().out
    assert main(["registry", "show", "counting", *home]) == 0
    assert "card\n  metric  acc_iou50\n" in capsys.readouterr().out

    registry.objects.path(rows[1]["digest"]).unlink()
    report = facts("registry", "verify", code=1)
    assert isinstance(report, dict) and not report["ok"]
    assert report["problems"][0]["message"] == "missing: bank of grounding@1"
    assert main(["registry", "verify", *home]) == 1
    assert "1 of its files are wrong" in capsys.readouterr().err


def test_doctor_tells_of_a_damaged_registry(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    registry = made(tmp_path / "registry", "grounding")
    registry.objects.path(registry.task("grounding").bank).write_bytes(b"other")
    assert main(["doctor", "--json", "--home", str(tmp_path)]) == 1
    report = json.loads(capsys.readouterr().out)
    checks = {check["name"]: check for check in report["checks"]}
    assert not report["ok"] and not checks["registry"]["ok"] and checks["home"]["ok"] and checks["torch"]["ok"]


def test_doctor_finds_what_a_killed_writer_left_and_gc_removes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = made(tmp_path / "registry", "grounding")

    def left() -> str | None:
        assert main(["doctor", "--json", "--home", str(tmp_path)]) in (0, 1)
        checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
        return checks["leftovers"]["value"] if "leftovers" in checks else None

    assert left() is None
    registry.objects.put(b"an object of an add that was killed before its commit")
    (registry.scratch / "object-half").write_bytes(b"half")
    assert str(left()).startswith("1 objects, 0 snapshots and 1 unfinished files")
    assert main(["registry", "gc", "--home", str(tmp_path)]) == 0
    assert left() is None


def test_doctor_tells_of_a_home_that_is_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "home").write_text("")
    assert main(["doctor", "--json", "--home", str(tmp_path / "home")]) == 1
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert not checks["home"]["ok"] and not checks["registry"]["ok"]
