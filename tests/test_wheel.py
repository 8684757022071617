"""The wheel holds all that ships, and works from a folder outside any checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*arguments: str, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the freshly built wheel was installed."""
    built, target = tmp_path_factory.mktemp("built"), tmp_path_factory.mktemp("target")
    run("-m", "build", "--wheel", "--no-isolation", "--outdir", str(built), cwd=ROOT)
    (wheel,) = built.glob("lynx_cl-*.whl")
    run("-m", "pip", "install", "--no-deps", "--no-index", "--target", str(target), str(wheel), cwd=built)
    return target


def files(folder: Path) -> set[Path]:
    """All files below a folder but those that Python makes when it runs them."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {path.relative_to(folder) for path in found}


def test_what_ships_is_found_in_the_wheel(installed: Path, tmp_path: Path) -> None:
    program = (
        "import lynx_cl; from lynx_cl.home import shipped; print(lynx_cl.__file__); "
        "[print(shipped(name)) for name in ('tasks', 'experiments', 'registry')]"
    )
    lines = run("-c", program, cwd=tmp_path, PYTHONPATH=str(installed)).splitlines()
    assert len(lines) == 4 and all(line.startswith(str(installed)) for line in lines)
    for name in ("tasks", "experiments", "registry"):
        there, shipped = files(ROOT / name), files(installed / "lynx_cl/_shipped" / name)
        assert there and there == shipped


def test_the_wheel_answers_from_a_folder_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    arguments = ("-m", "lynx_cl", "registry", "list", "--json", "--home", str(tmp_path / "home"))
    assert run(*arguments, cwd=tmp_path, PYTHONPATH=str(installed)).strip() == "[]"
    assert (installed / "bin" / "lynx-cl").is_file()
    assert not (tmp_path / "home").exists()
