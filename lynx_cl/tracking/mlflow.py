"""One MLflow run an add: a SQLite store under the home, or the server that MLFLOW_TRACKING_URI names."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from lynx_cl.errors import LynxError
from lynx_cl.home import Home

EXPERIMENT = "lynx-cl"
_BATCH = 500  # metrics a call; MLflow's own limit is 1,000
_LONGEST = 480  # characters of a parameter's value


class AddRun:
    """An MLflow run as a context: finished at its end, failed where an error passes through it."""

    def __init__(self, home: Home, name: str, tags: Mapping[str, str] | None = None) -> None:
        self.home, self.name, self.tags = home, name, dict(tags or {})
        self.run_id = ""
        self._client: Any = None

    def __enter__(self) -> AddRun:
        for chatty in ("mlflow", "alembic", "sqlalchemy"):
            logging.getLogger(chatty).setLevel(logging.ERROR)
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self.home.mlflow_db}"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._client = MlflowClient(tracking_uri=uri)
                experiment = self._client.get_experiment_by_name(EXPERIMENT)
                if experiment is None:
                    own = None if os.environ.get("MLFLOW_TRACKING_URI") else (self.home.path / "mlartifacts").as_uri()
                    identifier = self._client.create_experiment(EXPERIMENT, artifact_location=own)
                else:
                    identifier = experiment.experiment_id
                run = self._client.create_run(identifier, run_name=self.name, tags=self.tags)
        except MlflowException as error:
            raise LynxError(f"mlflow {uri}: {str(error).splitlines()[0]}; check MLFLOW_TRACKING_URI") from error
        self.run_id = run.info.run_id
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self._client.set_tag(self.run_id, "error", str(error)[:_LONGEST] or type(error).__name__)
        self._client.set_terminated(self.run_id, "FINISHED" if error is None else "FAILED")

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Parameters by name; long values are cut."""
        from mlflow.entities import Param

        self._client.log_batch(self.run_id, params=[Param(k, str(v)[:_LONGEST]) for k, v in params.items()])

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Metrics of one step; those that are not finite are left out."""
        self.log_history([(step, metrics)])

    def log_history(self, records: list[tuple[int, Mapping[str, float]]]) -> None:
        """Metrics of many steps, in few calls: each call costs milliseconds."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        points = [
            Metric(name, float(value), now, step)
            for step, metrics in records
            for name, value in metrics.items()
            if value == value and abs(value) != float("inf")
        ]
        for start in range(0, len(points), _BATCH):
            self._client.log_batch(self.run_id, metrics=points[start : start + _BATCH])

    def log_artifact(self, path: Path) -> None:
        """A file, under its own name."""
        self._client.log_artifact(self.run_id, str(path))
