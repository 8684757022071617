"""A study in MLflow: one parent run a study, a child run a cell, metrics with the stage as their step.

The files of a study are what counts, and this copies them: what the store already holds is read from it (a tag says how
many stages are logged), so a store that could not be reached gets the rest another time, and nothing twice.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import time
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from lynx_cl import __version__
from lynx_cl.continual.comparison import FORMS, CellTable, cell_tables
from lynx_cl.continual.measures import forgetting_by_task, forgetting_curve
from lynx_cl.continual.results import StudyFolder
from lynx_cl.continual.study import Study
from lynx_cl.home import Home
from lynx_cl.tracking.mlflow import BATCH, CHATTY, EXPERIMENT, LONGEST, PARAMS

LOGGED = "lynx.stages"
KEY = "lynx.cell"
PARENT = "mlflow.parentRunId"
GROWS = ("methods", "orders", "seeds")  # what a study may gain: tags, since parameters of a run cannot change
TABLE = "R.json"  # in the layout of MLflow's own tables, so that its pages show it as one
WAIT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}  # a study does not wait for long
AGAIN = 60.0  # seconds after which a store that could not be reached is tried again


class StudyTracker:
    """Copies studies of one home to its SQLite store, or to the server that MLFLOW_TRACKING_URI names."""

    def __init__(self, home: Home, study: Study) -> None:
        self.home, self.study = home, study
        self.uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home.mlflow_db}"
        self._client: Any = None
        self._experiment = ""
        self._runs: dict[str, tuple[str, str]] = {}
        self._told: dict[str, str] = {}
        self._failed_at = float("-inf")

    def copy(self, folder: StudyFolder, *, last: bool = False) -> str | None:
        """Logs what is new; a sentence where the store could not be reached. `last` tries again whatever came before.

        What cannot be logged stays to be logged by a later call, of this process or of another.
        """
        if not last and time.monotonic() - self._failed_at < AGAIN:
            return None
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            self._copy(folder)
        except (MlflowException, SQLAlchemyError, OSError, ImportError, ValueError) as error:  # a driver, an address
            self._failed_at = time.monotonic()
            self._runs.clear()
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            trouble = (
                f"mlflow {self.uri}: {reason[:200]}; the study goes on, its results are in {folder.path} "
                "and are logged by the next 'experiment run' or 'experiment compare' that reaches the store"
            )
            folder.unlogged.write_text(trouble + "\n", encoding="utf-8")
            return trouble
        folder.unlogged.unlink(missing_ok=True)
        return None

    def _copy(self, folder: StudyFolder) -> None:
        self._open()
        tables = cell_tables(folder)
        self.study = folder.study()  # with what was run before
        parent, _ = self._run(folder.identity, f"study {self.study.name}", None, partial(self._params, folder.made_of))
        for key in GROWS:
            value = str(self.study.model_dump(mode="json")[key])[:LONGEST]
            if self._told.get(key) != value:
                self._client.set_tag(parent, key, value)
                self._told[key] = value
        for table in tables:
            if len(table.stages) < 2 and table.failure is None:
                continue
            key = f"{folder.identity}/{table.cell.key}"
            run, logged = self._run(key, table.cell.key, parent, partial(_cell_params, table, self.study))
            done = f"{table.stages[-1].stage if table.stages else 0}" + (" failed" if table.failure else "")
            if done != logged:
                self._log(run, table, after=int(logged.partition(" ")[0] or -1))
                self._client.set_tag(run, LOGGED, done)
                self._runs[key] = run, done
        if all(table.whole or table.failure for table in tables):
            failed = any(table.failure for table in tables)
            self._client.set_terminated(parent, "FAILED" if failed else "FINISHED")

    def _open(self) -> None:
        if self._client is not None:
            return
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        for name, value in WAIT.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient

        for chatty in CHATTY:
            logging.getLogger(chatty).setLevel(logging.ERROR)
        local = self.uri.startswith("sqlite")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            client = MlflowClient(tracking_uri=self.uri)
            known = client.get_experiment_by_name(EXPERIMENT)
            place = (self.home.path / "mlartifacts").as_uri() if local else None
            self._experiment = (
                known.experiment_id if known else client.create_experiment(EXPERIMENT, artifact_location=place)
            )
        self._client = client

    def _run(self, key: str, name: str, parent: str | None, params: Callable[[], Mapping[str, Any]]) -> tuple[str, str]:
        """The run of a study or a cell, and how much of it is logged; found by its tag, or made."""
        if key in self._runs:
            return self._runs[key]
        from mlflow.entities import Param

        found = self._client.search_runs([self._experiment], filter_string=f"tags.`{KEY}` = '{key}'", max_results=1)
        if found:
            run = found[0].info.run_id, found[0].data.tags.get(LOGGED, "")
        else:
            tags = {KEY: key, "study": self.study.name, **({PARENT: parent} if parent else {})}
            made = self._client.create_run(self._experiment, run_name=name, tags=tags)
            run = made.info.run_id, ""
            entries = [Param(one, str(value)[:LONGEST]) for one, value in params().items()]
            for start in range(0, len(entries), PARAMS):
                self._client.log_batch(run[0], params=entries[start : start + PARAMS])
        self._runs[key] = run
        return run

    def _log(self, run: str, table: CellTable, after: int) -> None:
        """The stages past `after`, which are not logged yet, and R as it now is."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        points = [
            Metric(name, float(value), now, stage)
            for stage, values in stage_metrics(table)
            if stage > after
            for name, value in values.items()
            if np.isfinite(value)
        ]
        for start in range(0, len(points), BATCH):
            self._client.log_batch(run, metrics=points[start : start + BATCH])
        matrices = {TABLE: table.table(), **{f"R_{form}.json": table.table(form) for form in FORMS}}
        for path, matrix in matrices.items():
            rows = [[number, *row] for number, row in enumerate(matrix.tolist())]
            data = [[value if value == value else None for value in row] for row in rows]
            self._client.log_text(run, json.dumps({"columns": ["stage", *table.columns], "data": data}), path)
        logged = [{"path": path, "type": "table"} for path in matrices]
        self._client.set_tag(run, "mlflow.loggedArtifacts", json.dumps(logged))
        if table.failure is not None:
            self._client.set_tag(run, "error", table.failure[:LONGEST])
            self._client.set_terminated(run, "FAILED")
        elif table.whole:
            if "error" in self._client.get_run(run).data.tags:  # it failed once, and was run again
                self._client.delete_tag(run, "error")
            self._client.set_terminated(run, "FINISHED")

    def _params(self, made_of: Mapping[str, str]) -> dict[str, Any]:
        told = self.study.model_dump(mode="json")
        flat = {key: told[key] for key in ("name", "base", "data_seed", "tasks")}
        parts = {f"{part}.{key}": value for part in ("budget", "evaluation") for key, value in told[part].items()}
        facts = {"cores": os.cpu_count(), "processor": platform.processor() or platform.machine()}
        return {**flat, **parts, **made_of, **facts, "version": __version__}


def stage_metrics(table: CellTable) -> list[tuple[int, dict[str, float]]]:
    """The metrics of a cell by stage: scores, forgetting so far, growth, time, size; the base alone is stage 0."""
    rows = []
    matrix, learned = table.table(), table.learned
    lost = {form: forgetting_curve(table.table(form), learned) for form in ("blind", *FORMS)}
    for stage in table.stages:
        told = {f"score/{task}": score for task, score in stage.blind.items()}
        told |= {f"score_task_given/{task}": score for task, score in stage.aware.items()}
        for form in FORMS:
            told |= {f"score_{form}/{task}": score for task, score in getattr(stage, form).items()}
        told |= {f"metric/{task}/{name}": v for task, own in stage.metrics.items() for name, v in own.items()}
        if stage.stage:
            by_task = zip(table.columns, learned, forgetting_by_task(matrix[: stage.stage + 1]), strict=True)
            told |= {f"forgetting/{task}": fallen for task, own, fallen in by_task if own < stage.stage}
            told |= {
                "growth/total": stage.growth_total,
                "growth/active": stage.growth_active,
                "size/bytes": stage.size,
                "seconds/training": stage.training,
                "answer/milliseconds": stage.answer,
                "memory/bytes": stage.memory,
            }
            if not table.at_once:  # to which no task is an earlier one
                names = {"blind": "forgetting", **{form: f"forgetting_{form}" for form in FORMS}}
                told |= {
                    f"{n}/mean": float(lost[form][stage.stage]) for form, n in names.items() if getattr(stage, form)
                }
            known = {task for task, own in zip(table.columns, learned, strict=True) if own <= stage.stage}
            routed = {task: own for task, own in stage.routed.items() if task in known}
            sent = sum(sum(own.values()) for own in routed.values())
            if sent:
                told["routing/accuracy"] = sum(own.get(task, 0) for task, own in routed.items()) / sent
        rows.append((stage.stage, told))
    return rows


def _cell_params(table: CellTable, study: Study) -> dict[str, Any]:
    settings = {f"method.{key}": value for key, value in study.methods[table.cell.label].items()}
    return {
        "method": table.cell.label,
        "order": ", ".join(table.cell.order),
        "seed": table.cell.seed,
        "routes": table.routes,
        "task_given": table.given,
        **settings,
        **{f"budget.{key}": value for key, value in study.budget.model_dump().items()},
    }
