"""One cell of a study: a method on one order of tasks with one seed, stage after stage, each kept once it is done.

`python -m lynx_cl.continual.cell HOME STUDY CELL` runs one in a process of its own.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import safetensors.torch
from filelock import FileLock, Timeout

from lynx_cl.banks.growth import active_parameters, total_parameters
from lynx_cl.base.load import Base, load_base
from lynx_cl.base.settings import read_settings
from lynx_cl.continual.course import Course, Lesson
from lynx_cl.continual.measure import TaskMeasurement, TaskUnderTest, main_scores, measure
from lynx_cl.continual.method import Learning, Method, method_named
from lynx_cl.continual.results import CellFolder, StageResult, StudyFolder, study_folder
from lynx_cl.continual.scores import task_test, understanding_test
from lynx_cl.continual.study import Cell, Study, lessons, method_of, terms_of
from lynx_cl.errors import Interrupted, LynxError
from lynx_cl.home import Home
from lynx_cl.registry.faults import fault_point

Say = Callable[[str], None]


def run_cell(home: Home, study: Study, cell: Cell, say: Say, on_stage: Callable[[], None] = lambda: None) -> bool:
    """Runs what is left of a cell; whether it is whole now. A failure is kept with the cell, and told.

    Raises Interrupted or KeyboardInterrupt where the user stopped it: it goes on from there another time.
    """
    folder = study_folder(home, study.name).cell(cell)
    folder.path.mkdir(parents=True, exist_ok=True)

    def tell(text: str) -> None:
        say(f"{cell.key}: {text}")

    try:
        with _alone(folder, tell):
            folder.start()
            _stages(home, study, cell, folder, tell, on_stage)
    except (KeyboardInterrupt, Interrupted):
        raise
    except Exception as error:
        message = str(error) or type(error).__name__
        folder.fail(message)
        tell(f"failed: {message}")
        if not isinstance(error, LynxError):
            (folder.path / "traceback.txt").write_text(traceback.format_exc(), encoding="utf-8")
        return False
    return True


def measure_alone(home: Home, study: Study, say: Say) -> None:
    """Row 0 of R, once a study: every task, and the base's own questions, by the base alone."""
    folder = study_folder(home, study.name)
    if folder.alone() is not None:
        return
    say("measure: the base alone")
    base = load_base(study.base)
    tests = all_tests(study, base, lessons(study, tuple(study.tasks), home))
    started = time.monotonic()
    measured = measure(base, None, None, tests, batch_size=study.evaluation.batch_size)
    folder.keep_alone(stage_result(0, None, tests, measured, time.monotonic() - started))


def all_tests(study: Study, base: Base, learned: Sequence[Lesson]) -> list[TaskUnderTest]:
    """What is measured after every stage: the base's own questions where it has some, and each task."""
    own = [understanding_test(study.evaluation.understanding)] if base.card.understanding else []
    count = study.evaluation.examples
    grammar = base.card.grammar
    return [*own, *(task_test(one.card, one.source, one.card.box_grammar(grammar), count) for one in learned)]


def stage_result(
    stage: int, task: str | None, tests: Sequence[TaskUnderTest], measured: dict[str, TaskMeasurement], seconds: float
) -> StageResult:
    """The row of a stage; `seconds` is what measuring took."""
    asked = sum(len(test.examples) for test in tests)
    examples = {test.name: _by_example(test, measured[test.name].answers) for test in tests}
    strict, normalised = _forms(tests, measured, examples)
    return StageResult(
        stage=stage,
        task=task,
        blind=main_scores(measured, "blind"),
        aware=main_scores(measured, "aware"),
        metrics={name: m.blind for name, m in measured.items()},
        strict=strict,
        normalised=normalised,
        examples=examples,
        routed={name: m.routed for name, m in measured.items()},
        memory=_peak_memory(),
        answer=1000 * seconds / max(1, asked),
    )


def _stages(home: Home, study: Study, cell: Cell, folder: CellFolder, say: Say, on_stage: Callable[[], None]) -> None:
    name, values = method_of(cell.label, study.methods[cell.label])
    kind = method_named(name)
    done = folder.stages()
    last = len(cell.order)
    left = [stage for stage in ([last] if kind.at_once else range(1, last + 1)) if stage > _last(done)]
    if not left:
        return
    base = load_base(study.base)
    whole, active = total_parameters(base.model), active_parameters(base.model)
    terms = terms_of(cell.label, study.methods[cell.label])
    taught = lessons(study, cell.order, home, terms=terms)
    tests = all_tests(study, base, taught)
    course = Course(base, taught, study.budget, cell.seed, folder.path / "training", say, terms.loss)
    method: Method = kind(course, read_settings(kind.settings, values, f"methods.{cell.label}"))
    if done:
        method.load_state(folder.state(_last(done)), _last(done))
    for stage in left:
        course.run_dir(stage).mkdir(parents=True, exist_ok=True)
        took: Learning = method.learn(stage)
        fault_point("study.learned")
        row = None if kind.learns else study_folder(home, study.name).alone()
        if row is None:
            say(f"measure: after {cell.order[stage - 1]}")
            started = time.monotonic()
            measured = method.measured(tests, study.evaluation.batch_size)
            row = stage_result(stage, cell.order[stage - 1], tests, measured, time.monotonic() - started)
        added = method.added()
        state = safetensors.torch.save({k: t.detach().cpu().contiguous() for k, t in method.state().items()})
        more = {
            "stage": stage,
            "task": cell.order[stage - 1],
            "growth_total": added.total / whole,
            "growth_active": added.active / active,
            "size": len(state),
            "training": took.seconds,
            "curve": list(took.curve),
            "routed": row.routed if kind.routes else {},
        }
        folder.commit(row.model_copy(update=more), state)
        shutil.rmtree(course.folder, ignore_errors=True)
        say(", ".join(f"{task} {score:.3f}" for task, score in row.blind.items()))
        on_stage()


@contextlib.contextmanager
def _alone(folder: CellFolder, say: Say) -> Iterator[None]:
    """As the only process that runs this cell: one that a killed study left behind is waited for."""
    lock = FileLock(folder.path / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say("waits for another process that still runs it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _last(done: Sequence[StageResult]) -> int:
    return done[-1].stage if done else 0


def _by_example(test: TaskUnderTest, answers: Sequence[str]) -> list[float]:
    """The metric of each example by itself."""
    pairs = zip(test.examples, answers, strict=True)
    return [round(test.score([example], [text])[test.metric], 6) for example, text in pairs]


def _forms(
    tests: Sequence[TaskUnderTest], measured: dict[str, TaskMeasurement], examples: dict[str, list[float]]
) -> tuple[dict[str, float], dict[str, float]]:
    """The main score of each task whose answers have a form, of its answers read strictly and normalised."""
    told: tuple[dict[str, float], dict[str, float]] = {}, {}
    for test in tests:
        if test.forms is None:
            continue
        told_by = zip(test.examples, measured[test.name].answers, examples[test.name], strict=True)
        read = [test.forms(example, text, score >= 1) for example, text, score in told_by]
        for scores, texts in zip(told, zip(*read, strict=True), strict=True):
            scores[test.name] = test.score(test.examples, texts)[test.metric]
    return told


def _peak_memory() -> int:
    """Bytes. On Linux what `resource` tells includes the peak of the process that started this one."""
    import resource

    status = Path("/proc/self/status")
    if status.exists():
        held = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        if "VmHWM" in held:
            return 1024 * int(held["VmHWM"].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _die_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)
    os.kill(os.getpid(), signal.SIGKILL)  # nothing is lost: what is written is whole


def main(arguments: Sequence[str]) -> int:
    """One cell in this process, by the names of home, study and cell; the study is read from its folder.

    With `--with-parent` the process dies when its standard input ends, as it does when its parent is killed.
    """
    if "--with-parent" in arguments:
        threading.Thread(target=_die_with_parent, daemon=True).start()
    home = Home(Path(arguments[0]))
    study = StudyFolder(home.path / "studies" / arguments[1]).study()
    (cell,) = (cell for cell in study.cells() if cell.key == arguments[2])

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    try:
        return 0 if run_cell(home, study, cell, say) else 1
    except (Interrupted, KeyboardInterrupt):
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
