"""A study in MLflow: parent and child runs by stage, in SQLite and over HTTP, and nothing lost or logged twice."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient

from lynx_cl.continual.comparison import CellTable
from lynx_cl.continual.results import StageResult, StudyFolder, study_folder
from lynx_cl.continual.study import Study
from lynx_cl.home import Home
from lynx_cl.tracking.mlflow import EXPERIMENT
from lynx_cl.tracking.study import StudyTracker, stage_metrics

ORDER = ["counting", "grounding"]
STUDY = Study(
    name="told",
    tasks={name: {} for name in ORDER},
    methods={"lora": {"rank": 2}, "lynx": {}},
    budget={"pictures": 8},
)
R = [[0.25, 0.0], [1.0, 0.25], [0.5, 1.0]]


def result(number: int) -> StageResult:
    scores = dict(zip(ORDER, R[number], strict=True))
    return StageResult(
        stage=number,
        task=ORDER[number - 1] if number else None,
        blind=scores,
        aware=scores,
        strict={name: value / 2 for name, value in scores.items()},
        normalised=scores,
        metrics={name: {"score": value} for name, value in scores.items()},
        examples={name: [value] for name, value in scores.items()},
        routed={name: {name: 3, "base": 1} for name in ORDER} if number else {},
        growth_total=number / 10,
    )


def folder_of(home: Home, stages: int) -> StudyFolder:
    """A study of which the first cell has so many stages and the second failed."""
    folder = study_folder(home, STUDY.name)
    folder.open(STUDY, {"data of counting": "d" * 64})
    folder.keep_alone(result(0))
    first, second = (folder.cell(cell) for cell in STUDY.cells())
    for number in range(1, stages + 1):
        first.start()
        first.commit(result(number), b"state")
    second.start()
    second.fail("no such data")
    return folder


def runs(uri: str) -> dict[str, Any]:
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id])
    assert len({run.info.run_name for run in found}) == len(found)  # none twice
    return {str(run.info.run_name): run for run in found}


@pytest.fixture
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real tracking server on loopback."""
    place = tmp_path_factory.mktemp("server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    store = ["--backend-store-uri", f"sqlite:///{place}/m.db", "--artifacts-destination", str(place / "artifacts")]
    process = subprocess.Popen([*command, *store], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=place)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{address}/health", timeout=1).read()
                break
            except OSError:
                assert process.poll() is None
                time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=30)


def check(uri: str) -> None:
    """What a store must hold of the whole study."""
    client = MlflowClient(tracking_uri=uri)
    told = runs(uri)
    assert set(told) == {"study told", "lora/order-1-seed-0", "lynx/order-1-seed-0"}
    parent, lora, lynx = told["study told"], told["lora/order-1-seed-0"], told["lynx/order-1-seed-0"]
    for child in (lora, lynx):
        assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert (parent.info.status, lora.info.status, lynx.info.status) == ("FAILED", "FINISHED", "FAILED")
    assert lynx.data.tags["error"] == "no such data"
    history = client.get_metric_history(lora.info.run_id, "score/counting")
    assert sorted((m.step, m.value) for m in history) == [(0, 0.25), (1, 1.0), (2, 0.5)]
    lost = client.get_metric_history(lora.info.run_id, "forgetting/mean")
    assert {(m.step, m.value) for m in lost} == {(1, 0.0), (2, 0.5)}
    strict = client.get_metric_history(lora.info.run_id, "score_strict/counting")
    assert sorted((m.step, m.value) for m in strict) == [(0, 0.125), (1, 0.5), (2, 0.25)]
    assert lora.data.metrics["forgetting_strict/mean"] == 0.25
    assert lora.data.metrics["forgetting_normalised/mean"] == 0.5
    assert lora.data.metrics["growth/total"] == 0.2 and lora.data.metrics["routing/accuracy"] == 0.75
    assert lora.data.params["method.rank"] == "2" and lora.data.params["order"] == "counting, grounding"
    assert len(parent.data.params["data of counting"]) == 64 and parent.data.params["budget.pictures"] == "8"
    mlflow.set_tracking_uri(uri)  # MLflow reads tables from the store that is set for the whole process
    try:
        table = client.load_table(lora.info.experiment_id, "R.json", [lora.info.run_id])
        halved = client.load_table(lora.info.experiment_id, "R_strict.json", [lora.info.run_id])
    finally:
        mlflow.set_tracking_uri("")
    assert halved[ORDER].to_numpy().tolist() == [[value / 2 for value in row] for row in R]
    assert table[["stage", *ORDER]].to_numpy().tolist() == [[i, *row] for i, row in enumerate(R)]


def test_the_default_store(tmp_path: Path, no_server: None) -> None:
    home = Home(tmp_path)
    folder = folder_of(home, 1)
    uri = f"sqlite:///{home.mlflow_db}"
    assert StudyTracker(home, STUDY).copy(folder) is None
    assert runs(uri)["lora/order-1-seed-0"].info.status == "RUNNING"
    folder_of(home, 2)
    tracker = StudyTracker(home, STUDY)
    for _ in range(2):
        assert tracker.copy(folder) is None
    check(uri)
    assert (home.path / "mlartifacts").is_dir()
    grown = STUDY.model_copy(update={"seeds": (0, 1)})
    folder.open(grown, {"data of counting": "d" * 64})
    again = folder.cell(STUDY.cells()[1])
    again.start()
    for number in (1, 2):
        again.commit(result(number), b"state")
    assert StudyTracker(home, grown).copy(folder) is None
    told = runs(uri)
    lynx = told["lynx/order-1-seed-0"]
    assert lynx.info.status == "FINISHED" and "error" not in lynx.data.tags  # it failed once, and went on
    assert told["study told"].data.tags["seeds"] == "[0, 1]" and "seeds" not in told["study told"].data.params


def test_a_store_that_cannot_be_used_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path)
    folder = folder_of(home, 2)
    for address in ("postgresql://me@127.0.0.1:9/ml", "mssql+nodriver://me@127.0.0.1:9/ml", "http://[::1"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        trouble = StudyTracker(home, STUDY).copy(folder, last=True)
        assert (
            trouble is not None and "\n" not in trouble and "the study goes on" in trouble and folder.unlogged.exists()
        )


def test_the_share_routed_right_is_of_what_was_learned() -> None:
    own = {"counting": {"counting": 3, "base": 1}, "grounding": {"base": 4}, "base": {"base": 4}}
    first = result(1).model_copy(update={"routed": own, "blind": {"base": 0.5, **result(1).blind}})
    table = CellTable("told", STUDY.cells()[1], True, False, False, (first,), None)
    ((stage, told),) = stage_metrics(table)
    assert stage == 1 and told["routing/accuracy"] == 7 / 8  # grounding comes later: no request of it can be right


@pytest.mark.slow
def test_a_server_that_comes_late_gets_everything(tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path)
    folder = folder_of(home, 1)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    away = StudyTracker(home, STUDY)
    started = time.monotonic()
    trouble = away.copy(folder)
    assert trouble is not None and "\n" not in trouble and "the study goes on" in trouble
    assert away.copy(folder) is None and time.monotonic() - started < 60  # not asked again at once
    assert away.copy(folder, last=True) is not None and folder.unlogged.exists()
    folder_of(home, 2)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    assert StudyTracker(home, STUDY).copy(folder) is None
    check(server)
    assert not folder.unlogged.exists()
    assert json.loads((folder.path / "study.json").read_text())["study"]["name"] == "told"
