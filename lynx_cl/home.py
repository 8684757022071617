"""Where things live: the user's home (registry, data, checkpoints, runs) and the folders that ship with the package."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from lynx_cl.errors import LynxError

VARIABLE = "LYNX_CL_HOME"
SHIPPED = ("tasks", "experiments", "registry")


@dataclass(frozen=True)
class Home:
    """One user's folder; nothing in it is made before it is needed.

    >>> Home(Path("/data/lynx")).registry.as_posix()
    '/data/lynx/registry'
    """

    path: Path

    @property
    def registry(self) -> Path:
        """The registry of task versions, laid out as `lynx_cl.registry` says."""
        return self.path / "registry"

    @property
    def data(self) -> Path:
        """Data sets that were built, and their manifests."""
        return self.path / "data"

    @property
    def checkpoints(self) -> Path:
        """Unfinished training runs, one folder a run."""
        return self.path / "checkpoints"

    @property
    def tasks(self) -> Path:
        """The user's own task cards, one folder a task; they come before the shipped ones."""
        return self.path / "tasks"

    @property
    def mlflow_db(self) -> Path:
        """The SQLite store of MLflow."""
        return self.path / "mlflow.db"

    def ensure_writable(self) -> None:
        """Make the folder and write one byte in it. Raises LynxError where that fails."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path) as probe:
                probe.write(b"0")
        except OSError as error:
            reason = error.strerror or str(error)
            raise LynxError(f"{self.path}: cannot write here ({reason}); name another folder with --home") from error


def resolve_home(option: str | None = None) -> Home:
    """The home in force: the option, else the environment variable LYNX_CL_HOME, else the user's data folder."""
    chosen = option or os.environ.get(VARIABLE)
    if chosen:
        return Home(Path(chosen).expanduser().absolute())
    import platformdirs

    return Home(Path(platformdirs.user_data_dir("lynx-cl", appauthor=False)))


def shipped(name: str) -> Path:
    """The shipped folder `tasks`, `experiments` or `registry`, of an installed wheel or of a checkout.

    Raises LynxError where the installation lacks it.
    """
    if name not in SHIPPED:
        raise ValueError(f"no folder {name!r} ships; known: {', '.join(SHIPPED)}")
    package = Path(__file__).resolve().parent
    for folder in (package / "_shipped" / name, package.parent / name):
        if folder.is_dir():
            return folder
    raise LynxError(f"{package}: the shipped folder {name!r} is missing; install lynx-cl again")
