"""Running a study: whole cells stay, killed ones go on to the same table, failed ones leave the others alone."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from lynx_cl.continual import cell as cells
from lynx_cl.continual.comparison import cell_tables
from lynx_cl.continual.results import study_folder
from lynx_cl.continual.run_study import run_study
from lynx_cl.continual.study import read_study
from lynx_cl.errors import Interrupted, LynxError
from lynx_cl.home import Home
from lynx_cl.registry import faults
from tests.continual.process import ENVIRONMENT
from tests.continual.study_tiny import curves, write_base, write_study

ONE_THREAD = {"OMP_NUM_THREADS": "1"}  # sums round alike, in a cell of its own process too
METHODS = {"zero-shot": None, "ewc": {"pictures": 2}, "lynx": {"prompts": 12}}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("base") / "tiny")


def table(home: Home, name: str = "short") -> list[dict[str, Any]]:
    """What the study came to, less what a clock says."""
    return [one.facts() for one in cell_tables(study_folder(home, name))]


def learned(home: Home) -> list[float]:
    """What the cells had learned, to the last bit: weights that answer alike still score differently."""
    return curves(study_folder(home, "short"))


@pytest.fixture(scope="module")
def undisturbed(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Path]:
    """A home in which the short study was run in turn, and the study's file."""
    home = Home(tmp_path_factory.mktemp("undisturbed"))
    file = write_study(home.path / "experiments" / "short.yaml", base, METHODS)
    ran = process(home, file)
    out, error = ran.communicate(timeout=300)
    assert ran.returncode == 0, error
    assert [one["method"] for one in json.loads(out)] == list(METHODS)
    return home, file


def process(home: Home, file: Path, *settings: str, fault: str | None = None) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "lynx_cl", "experiment", "run", str(file), *settings, "--json"]
    return subprocess.Popen(
        [*command, "--home", str(home.path)],
        env={**ENVIRONMENT, **ONE_THREAD, **({faults.VARIABLE: fault} if fault else {})},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )


def test_results_are_whole(undisturbed: tuple[Home, Path]) -> None:
    home, _ = undisturbed
    told = {one["method"]: one for one in table(home)}
    assert all(len(one["R"]) == 3 and len(one["R"][0]) == 2 for one in told.values())
    assert told["zero-shot"]["R"][0] == told["zero-shot"]["R"][2] == told["lynx"]["R"][0]
    assert told["lynx"]["growth_total"] > 0 == told["ewc"]["growth_total"]
    folder = study_folder(home, "short")
    lynx = next(one for one in cell_tables(folder) if one.cell.label == "lynx")
    assert set(lynx.stages[-1].routed) == {"counting", "grounding"} and lynx.stages[1].curve
    assert lynx.stages[-1].size > 0 and lynx.stages[-1].memory > 2**20
    for stage in lynx.stages:
        for task, scores in stage.examples.items():
            assert sum(scores) / len(scores) == pytest.approx(stage.blind[task], abs=1e-6)
    states = sorted(path.name for path in folder.cell(lynx.cell).path.glob("state-*"))
    assert states == ["state-2.safetensors"]  # what an earlier stage had learned is not kept


def test_nothing_is_run_twice(undisturbed: tuple[Home, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    home, file = undisturbed
    before = table(home)
    monkeypatch.setattr(cells, "load_base", lambda name: pytest.fail("a whole cell was run again"))
    ran = run_study(home, read_study(str(file), [], home), lambda line: None)
    assert len(ran.whole) == 3 and table(home) == before


@pytest.mark.parametrize(
    "point",
    [
        "checkpoint.done:3",
        *(pytest.param(p, marks=pytest.mark.slow) for p in ("study.learned:3", "study.state.done:2")),
        pytest.param("study.stage.renamed:4", marks=pytest.mark.slow),
    ],
)
def test_killed_it_goes_on_to_the_same_table(undisturbed: tuple[Home, Path], tmp_path: Path, point: str) -> None:
    home, file = Home(tmp_path / "home"), undisturbed[1]
    killed = process(home, file, fault=point)
    assert killed.wait(timeout=300) == -signal.SIGKILL, killed.communicate()[1]
    done = len(list(home.path.glob("studies/short/cells/*/*/stage-*.json")))
    assert 0 < done < 6
    measured = [
        path for path in home.path.glob("studies/short/cells/*/*/stage-*.json") if path.parts[-3] != "zero-shot"
    ]
    again = process(home, file)
    out, error = again.communicate(timeout=300)
    assert again.returncode == 0, error
    assert json.loads(out) == table(undisturbed[0]) and learned(home) == learned(undisturbed[0])
    assert error.count("measure: after") == 4 - len(measured)  # what learns nothing is measured once, as the base alone


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["turn", "processes"])
def test_killed_ten_times_at_random_it_comes_to_the_same_table(
    undisturbed: tuple[Home, Path], tmp_path: Path, executor: str
) -> None:
    """Each time a study comes to its end it is compared, and another is begun, until ten kills have fallen."""
    file = undisturbed[1]
    begun, timed = time.monotonic(), Home(tmp_path / "timed")
    process(timed, file, f"executor={executor}").communicate(timeout=300)
    whole = time.monotonic() - begun
    assert learned(timed) == learned(undisturbed[0])
    times = random.Random(executor)
    kills = ended = struck = 0  # a kill strikes where a stage was whole and another was not
    while kills < 10 or not ended:
        home = Home(tmp_path / f"home-{ended}")
        running = process(home, file, f"executor={executor}")
        try:
            out, error = running.communicate(timeout=times.uniform(0.3, 0.9) * whole if kills < 10 else 300)
        except subprocess.TimeoutExpired:
            running.kill()
            running.communicate()
            kills += 1
            struck += bool(list(home.path.glob("studies/short/cells/*/*/stage-*.json")))
            continue
        ended += 1
        assert json.loads(out) == table(undisturbed[0]), error
        assert learned(home) == learned(undisturbed[0])
    assert struck > 3


@pytest.mark.slow
def test_cells_die_with_their_study(undisturbed: tuple[Home, Path], tmp_path: Path) -> None:
    """A study that is killed leaves no process behind that would write beside its successor's."""
    home = Home(tmp_path / "home")
    running = process(home, undisturbed[1], "executor=processes")
    deadline = time.monotonic() + 200
    while not list(home.path.glob("studies/short/cells/ewc/*/training")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert cells_of(home)
    running.kill()
    running.communicate()
    deadline = time.monotonic() + 20
    while cells_of(home) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not cells_of(home)


def cells_of(home: Home) -> list[str]:
    """The processes that run cells of a home."""
    told = subprocess.run(["ps", "-ewwo", "args"], capture_output=True, text=True, check=True).stdout.splitlines()
    return [line for line in told if f"lynx_cl.continual.cell {home.path} " in line]


def test_a_cell_waits_for_whoever_still_runs_it(base: Path, tmp_path: Path) -> None:
    home = Home(tmp_path)
    study = read_study(str(write_study(tmp_path / "short.yaml", base, {"zero-shot": None})), [], home)
    own = study_folder(home, "short").cell(study.cells()[0])
    own.start()
    said: list[str] = []
    held = FileLock(own.path / "lock")
    held.acquire()
    waiting = threading.Thread(target=run_study, args=(home, study, said.append))
    waiting.start()
    deadline = time.monotonic() + 100
    while not any("waits for another process" in line for line in said) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    assert not own.stages() and any("waits for another process" in line for line in said)
    held.release()
    waiting.join(timeout=100)
    assert len(own.stages()) == 2


def test_local_processes_give_the_same_table(undisturbed: tuple[Home, Path], tmp_path: Path) -> None:
    home, file = Home(tmp_path / "home"), undisturbed[1]
    ran = process(home, file, "executor=processes", "workers=2")
    out, error = ran.communicate(timeout=300)
    assert ran.returncode == 0, error
    assert json.loads(out) == table(undisturbed[0]) and learned(home) == learned(undisturbed[0])
    for one in cell_tables(study_folder(home, "short")):
        end = one.stages[-1]
        assert f"{one.cell.key}: stage 2 of 2, {end.task} {end.blind[str(end.task)]:.3f}" in error
    assert "3 of 3 cells are whole" in error
    again = process(home, file, "executor=processes")
    out, error = again.communicate(timeout=300)
    assert json.loads(out) == table(undisturbed[0]) and "started" not in error  # what is whole starts no process


def test_a_cell_that_fails_leaves_the_others_going(base: Path, tmp_path: Path) -> None:
    home = Home(tmp_path)
    methods = {"broken": {"method": "lora", "learning_rate": 1e30}, "zero-shot": None}
    study = read_study(str(write_study(tmp_path / "short.yaml", base, methods)), [], home)
    said: list[str] = []
    ran = run_study(home, study, said.append)
    assert [cell.label for cell in ran.failed] == ["broken"] and [cell.label for cell in ran.whole] == ["zero-shot"]
    broken, good = cell_tables(study_folder(home, "short"))
    assert "loss is nan" in str(broken.failure) and good.whole and not broken.whole
    facts = broken.facts()
    assert facts["R"][1:] == [[None, None]] * 2 and facts["acc"] is None and facts["R"][0] == good.facts()["R"][0]
    assert any("failed: " in line for line in said)


@pytest.mark.slow
def test_a_process_that_dies_fails_its_cell_alone(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path)
    methods = {"zero-shot": None, "sequential": None}
    file = write_study(tmp_path / "short.yaml", base, methods, executor="processes", workers=1)
    monkeypatch.setenv(faults.VARIABLE, "checkpoint.begin")  # only a method that trains comes by there
    monkeypatch.setenv("PYTHONPATH", ENVIRONMENT["PYTHONPATH"])
    ran = run_study(home, read_study(str(file), [], home), lambda line: None)
    assert [cell.label for cell in ran.failed] == ["sequential"]
    monkeypatch.delenv(faults.VARIABLE)
    assert "signal SIGKILL" in str(cell_tables(study_folder(home, "short"))[1].failure)
    again = run_study(home, read_study(str(file), [], home), lambda line: None)
    assert not again.failed and all(one.failure is None for one in cell_tables(study_folder(home, "short")))


@pytest.mark.parametrize("executor", ["turn", pytest.param("processes", marks=pytest.mark.slow)])
def test_ctrl_c_is_one_line_and_goes_on(
    undisturbed: tuple[Home, Path], tmp_path: Path, executor: str, base: Path
) -> None:
    home = Home(tmp_path / "home")
    running = process(home, undisturbed[1], f"executor={executor}")
    deadline = time.monotonic() + 200
    while not list(home.path.glob("studies/short/cells/ewc/*/training")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(running.pid, signal.SIGINT)
    _, error = running.communicate(timeout=120)
    assert running.returncode == 1
    assert error.strip().splitlines()[-1].endswith("interrupted; the same command goes on where it was")
    assert "Traceback" not in error
    again = process(home, undisturbed[1])
    out, error = again.communicate(timeout=300)
    assert again.returncode == 0 and json.loads(out) == table(undisturbed[0]), error


def test_an_interrupt_is_no_failed_cell(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path)
    study = read_study(str(write_study(tmp_path / "short.yaml", base, {"zero-shot": None})), [], home)

    def stopped(*_: Any) -> None:
        raise Interrupted("training: interrupted at step 1")

    monkeypatch.setattr(cells, "_stages", stopped)
    with pytest.raises(Interrupted, match="the same command goes on"):
        run_study(home, study, lambda line: None)
    assert cell_tables(study_folder(home, "short"))[0].failure is None


def test_one_process_a_study(base: Path, tmp_path: Path) -> None:
    home = Home(tmp_path)
    study = read_study(str(write_study(tmp_path / "short.yaml", base, {"zero-shot": None})), [], home)
    place = study_folder(home, "short").path
    place.mkdir(parents=True)
    with FileLock(place / "lock"), pytest.raises(LynxError, match="is being run by another process"):
        run_study(home, study, lambda line: None)


def test_a_damaged_result_is_one_line(base: Path, tmp_path: Path) -> None:
    home = Home(tmp_path)
    study = read_study(str(write_study(tmp_path / "short.yaml", base, {"zero-shot": None})), [], home)
    run_study(home, study, lambda line: None)
    folder = study_folder(home, "short")
    kept = folder.cell(study.cells()[0]).path / "stage-2.json"
    kept.write_text(kept.read_text()[:50])
    with pytest.raises(LynxError, match=r"stage-2.json: damaged; remove .*seed-0 to run that part anew"):
        cell_tables(folder)
