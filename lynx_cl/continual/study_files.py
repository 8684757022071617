"""Where the files of studies lie: the home's own, and those that ship."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lynx_cl.errors import UsageError
from lynx_cl.home import Home, shipped

SUFFIXES = (".yaml", ".yml")


def find_study(name_or_path: str, home: Home) -> Path:
    """The file of a study. Raises UsageError where there is none."""
    path = Path(name_or_path).expanduser()
    if path.suffix in SUFFIXES:
        if not path.is_file():
            raise UsageError(f"study {path}: no such file")
        return path
    for folder in places(home):
        for file in study_files(folder):
            if name_in(file) == name_or_path:
                return file
    known = ", ".join(sorted({name for folder in places(home) for f in study_files(folder) if (name := name_in(f))}))
    broken = [str(path) for path in yaml_files(home.path / "experiments") if _values(path) is None]
    more = f"; these are no YAML: {', '.join(broken)}" if broken else ""
    raise UsageError(
        f"study '{name_or_path}' is unknown; known: {known or 'none'}; or give the path of a YAML file{more}"
    )


def study_files(folder: Path) -> list[Path]:
    """The YAML files of a folder that say they are a study."""
    return [path for path in yaml_files(folder) if name_in(path) is not None]


def yaml_files(folder: Path) -> list[Path]:
    """The YAML files of a folder, whatever is in them."""
    return sorted(path for path in folder.glob("*.y*ml") if path.suffix in SUFFIXES)


def known_studies(home: Home) -> list[Path]:
    """The files of the home's own studies and of the shipped ones."""
    return [file for folder in places(home) for file in study_files(folder)]


def places(home: Home) -> list[Path]:
    """The folders of studies that are found by name."""
    return [home.path / "experiments", shipped("experiments")]


def name_in(path: Path) -> str | None:
    """The name in a study's file; None for another YAML file, or one that cannot be read."""
    values = _values(path) or {}
    name = values.get("name") if "methods" in values else None
    return name if isinstance(name, str) else None


def _values(path: Path) -> dict[str, Any] | None:
    """What a YAML file holds, nothing where that is no mapping; None for one that cannot be read."""
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, OSError, UnicodeDecodeError):
        return None
    return values if isinstance(values, dict) else {}
