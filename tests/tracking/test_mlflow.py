"""An MLflow run an add: kept under the home, quiet, and honest about failure."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from lynx_cl.errors import LynxError
from lynx_cl.home import Home
from lynx_cl.tracking.mlflow import EXPERIMENT, AddRun

FIRST_RUN = """
import sys
from pathlib import Path
from lynx_cl.home import Home
from lynx_cl.tracking.mlflow import AddRun
with AddRun(Home(Path(sys.argv[1])), "add one", {"task": "one"}) as run:
    run.log_params({"lr": 0.1, "long": "x" * 9000, **{f"p{i}": i for i in range(150)}})
    run.log_metrics({"loss": 2.0, "nothing": float("nan")}, step=1)
    run.log_history([(i, {"loss": 1.0 / i}) for i in range(2, 700)])
print(run.run_id)
"""


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, subprocess.CompletedProcess[str]]:
    """A home with one run, made by a process of its own, in a folder that is not there yet."""
    home = Home(tmp_path_factory.mktemp("with space") / "new")
    command = [sys.executable, "-c", FIRST_RUN, str(home.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return home, done


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def client(home: Home) -> Any:
    return MlflowClient(tracking_uri=f"sqlite:///{home.mlflow_db}")


def test_it_says_nothing(first: tuple[Home, subprocess.CompletedProcess[str]]) -> None:
    _, done = first
    assert done.stderr == "" and len(done.stdout.split()) == 1


def test_what_was_logged_can_be_read(first: tuple[Home, subprocess.CompletedProcess[str]]) -> None:
    home, done = first
    run = client(home).get_run(done.stdout.strip())
    assert (run.info.status, run.info.run_name, run.data.tags["task"]) == ("FINISHED", "add one", "one")
    assert run.data.params["lr"] == "0.1" and len(run.data.params) == 152
    assert "nothing" not in run.data.metrics
    history = client(home).get_metric_history(run.info.run_id, "loss")
    assert {m.step: m.value for m in history} == {1: 2.0, **{i: 1.0 / i for i in range(2, 700)}}


def test_artifacts_lie_under_the_home(
    first: tuple[Home, subprocess.CompletedProcess[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, done = first
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "deep" / "b.txt").write_text("b")
    (tmp_path / "a.txt").write_text("a")
    with AddRun(home, "add two") as run:
        run.log_artifact(tmp_path / "a.txt")
        run.log_artifacts(tmp_path / "in")
    assert run.run_id != done.stdout.strip()
    assert {path.read_text() for path in home.path.rglob("*.txt")} == {"a", "b"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "in"]
    assert len(client(home).search_experiments(filter_string=f"name = '{EXPERIMENT}'")) == 1


@pytest.mark.parametrize("error", [LynxError("no such data"), KeyboardInterrupt()])
def test_a_failed_run_is_marked(first: tuple[Home, subprocess.CompletedProcess[str]], error: BaseException) -> None:
    home, _ = first
    run = AddRun(home, "add three")
    with pytest.raises(type(error)), run:
        raise error
    kept = client(home).get_run(run.run_id)
    assert kept.info.status == "FAILED" and kept.data.tags["error"] in ("no such data", "KeyboardInterrupt")


def test_the_users_own_store_is_taken(
    first: tuple[Home, subprocess.CompletedProcess[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, _ = first
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home.mlflow_db}")
    other = Home(tmp_path / "other")
    with AddRun(other, "add four") as run:
        run.log_metrics({"loss": 1.0}, step=0)
    assert client(home).get_run(run.run_id).info.run_name == "add four" and not other.path.exists()


def test_a_broken_store_is_one_line(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.mlflow_db.write_bytes(b"no database at all" * 100)
    with pytest.raises(LynxError) as caught, AddRun(home, "add five"):
        pass
    assert str(home.mlflow_db) in str(caught.value) and "\n" not in str(caught.value)
