"""Cells on a real Ray cluster of two nodes on this machine: the same table, nothing twice, and one line for trouble."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from lynx_cl.continual import ray_cells
from lynx_cl.continual.comparison import cell_tables
from lynx_cl.continual.results import study_folder
from lynx_cl.continual.run_study import run_study
from lynx_cl.continual.study import Study, read_study
from lynx_cl.errors import LynxError
from lynx_cl.home import Home
from tests.continual.process import ENVIRONMENT
from tests.continual.study_tiny import curves, write_base, write_study

pytest.importorskip("ray", reason="the extra 'ray' is not installed")
METHODS: dict[str, Any] = {"ewc": {"pictures": 2}, "sequential": None, "lynx": {"prompts": 12}}
STORE = 80 * 2**20  # bytes: the least that Ray takes


class Undisturbed(NamedTuple):
    """What the study comes to, what was learned, and its file."""

    table: list[dict[str, Any]]
    curves: list[float]
    file: Path


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of two nodes with room for one cell each."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": STORE}
    nodes = Cluster(initialize_head=True, head_node_args=head)
    nodes.add_node(num_cpus=1, object_store_memory=STORE)
    yield nodes.address
    nodes.shutdown()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(scope="module")
def undisturbed(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """The short study, run by local processes."""
    home = Home(tmp_path_factory.mktemp("undisturbed"))
    file = write_study(home.path / "short.yaml", base, METHODS)
    run_study(home, read_study(str(file), ["executor=processes"], home), lambda line: None)
    return Undisturbed(table(home), curves(study_folder(home, "short")), file)


def table(home: Home) -> list[dict[str, Any]]:
    return [one.facts() for one in cell_tables(study_folder(home, "short"))]


def same(home: Home, undisturbed: Undisturbed, printed: str) -> bool:
    """Whether a table, and what was learned behind it, are those of the undisturbed run."""
    ours = curves(study_folder(home, "short"))
    return json.loads(printed) == undisturbed.table and ours == pytest.approx(undisturbed.curves, rel=1e-3)


def run(home: Path | str, file: Path, cluster: str, *settings: str, cwd: Path | None = None) -> subprocess.Popen[str]:
    where = [f"ray.address={cluster}", "executor=ray", *settings, "--home", str(home), "--json"]
    return subprocess.Popen(
        [sys.executable, "-m", "lynx_cl", "experiment", "run", str(file), *where],
        env=ENVIRONMENT,
        cwd=cwd,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def started(home: Home, cells: int) -> list[re.Match[str]]:
    """The first line of each cell's log, once so many have begun."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        logs = [path.read_text() for path in home.path.glob("studies/short/cells/*/*/log")]
        found = [match for text in logs if (match := re.match(r"node (\S+), (\w+), process (\d+)\n", text))]
        if len(found) >= cells:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{cells} cells did not begin")


@pytest.mark.slow
def test_two_nodes_give_the_same_table(cluster: str, undisturbed: Undisturbed, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    out, error = run(home.path, undisturbed.file, cluster).communicate(timeout=400)
    assert same(home, undisturbed, out), error
    assert len({match[2] for match in started(home, 3)}) == 2  # both nodes had a share
    logs = {path: path.read_text() for path in home.path.glob("studies/short/cells/*/*/log")}
    again, error = run(home.path, undisturbed.file, cluster).communicate(timeout=200)
    assert same(home, undisturbed, again) and "started" not in error
    assert all(path.read_text() == text for path, text in logs.items())  # what is whole was not run again


@pytest.mark.slow
def test_a_killed_study_goes_on_and_a_dead_worker_fails_its_cell_alone(
    cluster: str, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    home = Home(tmp_path / "home")
    killed = run(home.path, undisturbed.file, cluster)
    while not list(home.path.glob("studies/short/cells/*/*/stage-1.json")) and killed.poll() is None:
        time.sleep(0.05)
    killed.kill()
    killed.communicate()
    for log in home.path.glob("studies/short/cells/*/*/log"):
        log.unlink()
    second = run(home.path, undisturbed.file, cluster)
    os.kill(int(started(home, 1)[0][3]), signal.SIGKILL)
    _, error = second.communicate(timeout=400)
    assert second.returncode == 1 and "1 of 3 cells failed" in error, error
    assert "failed: its Ray worker ended: " in error
    out, error = run(home.path, undisturbed.file, cluster).communicate(timeout=400)
    assert same(home, undisturbed, out), error


@pytest.mark.slow
def test_ctrl_c_stops_the_cells(cluster: str, undisturbed: Undisturbed, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    running = run(home.path, undisturbed.file, cluster)
    pids = [int(match[3]) for match in started(home, 1)]
    running.send_signal(signal.SIGINT)
    _, error = running.communicate(timeout=120)
    assert running.returncode == 1 and "Traceback" not in error
    assert error.strip().splitlines()[-1].endswith("interrupted; the same command goes on where it was")
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.mark.slow
def test_a_node_that_does_not_see_the_home(cluster: str, undisturbed: Undisturbed, tmp_path: Path) -> None:
    """A path that means another folder in every process stands for a disk that nodes do not share."""
    running = run("/proc/self/cwd/home", undisturbed.file, cluster, cwd=tmp_path)
    out, error = running.communicate(timeout=200)
    assert running.returncode == 1 and out == ""
    assert "does not see /proc/self/cwd/home as this machine does" in error.strip().splitlines()[-1]


@pytest.mark.slow
def test_a_cell_that_no_node_has_room_for(cluster: str, undisturbed: Undisturbed, tmp_path: Path) -> None:
    running = run(tmp_path, undisturbed.file, cluster, "ray.cpus=64")
    _, error = running.communicate(timeout=200)
    assert running.returncode == 1 and "no node has 64 CPUs and 0 GPUs; lower ray.cpus" in error


def study(address: str = "") -> Study:
    return Study(name="short", tasks={"counting": {}}, methods={"lynx": {}}, executor="ray", ray={"address": address})


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:9", "ray.address = '127.0.0.1:9': cannot be reached (Connection refused); start Ray there"),
        ("ray://127.0.0.1:10001", "give the HOST:PORT of its head, or auto"),
        ("somewhere", "give the HOST:PORT of its head, or auto"),
        ("127.0.0.1:99999", "ray.address = '127.0.0.1:99999': cannot be reached ("),
        ("auto", "ray.address = 'auto': Could not find any running Ray instance"),
    ],
)
def test_a_cluster_that_cannot_be_reached_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, message: str
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    began = time.monotonic()
    with (
        pytest.raises(LynxError, match=re.escape(message)) as caught,
        ray_cells.ray_cells(Home(tmp_path), study(address)),
    ):
        pass
    assert "\n" not in str(caught.value) and time.monotonic() - began < 20


def test_without_ray_it_is_one_line(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    home = Home(tmp_path)
    told = read_study(str(write_study(tmp_path / "short.yaml", base, {"zero-shot": None})), ["executor=ray"], home)
    with pytest.raises(
        LynxError, match=r"Ray is not installed; pip install 'lynx-cl\[ray\]', or use executor=processes"
    ):
        run_study(home, told, lambda line: None)
    assert study_folder(home, "short").alone() is None  # it was said before anything was measured


def test_a_folder_of_another_identity_is_not_the_study_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cells, "LOOKS", 1)
    assert not ray_cells.work(str(tmp_path), "short", "lynx/order-1-seed-0", "id").seen
    study_folder(Home(tmp_path), "short").open(study(), {})
    assert not ray_cells.work(str(tmp_path), "short", "lynx/order-1-seed-0", "id").seen
