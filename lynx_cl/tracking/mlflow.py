"""One MLflow run an add: a SQLite store under the home, or the server that MLFLOW_TRACKING_URI names."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from lynx_cl.errors import LynxError
from lynx_cl.home import Home

EXPERIMENT = "lynx-cl"
CHATTY = ("mlflow", "alembic", "sqlalchemy")
BATCH = 500  # metrics a call; MLflow's own limit is 1,000
PARAMS = 100  # parameters a call: MLflow's limit
LONGEST = 480  # characters of a parameter's value


class AddRun:
    """An MLflow run as a context: finished at its end, failed where an error passes through it."""

    def __init__(self, home: Home, name: str, tags: Mapping[str, str] | None = None) -> None:
        self.home, self.name, self.tags = home, name, dict(tags or {})
        self.run_id = ""
        self._client: Any = None

    def __enter__(self) -> AddRun:
        """Opens the run. Raises LynxError where the store cannot be reached or written."""
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        for chatty in CHATTY:  # after the import, which sets levels of its own
            logging.getLogger(chatty).setLevel(logging.ERROR)
        server = os.environ.get("MLFLOW_TRACKING_URI")
        if not server:
            self.home.ensure_writable()
        uri = server or f"sqlite:///{self.home.mlflow_db}"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._client = MlflowClient(tracking_uri=uri)
                experiment = self._client.get_experiment_by_name(EXPERIMENT)
                if experiment is None:
                    own = None if server else (self.home.path / "mlartifacts").as_uri()
                    identifier = self._client.create_experiment(EXPERIMENT, artifact_location=own)
                else:
                    identifier = experiment.experiment_id
                run = self._client.create_run(identifier, run_name=self.name, tags=self.tags)
        except (MlflowException, SQLAlchemyError) as error:
            reason = str(error).strip().splitlines()[0]
            raise LynxError(f"mlflow {uri}: {reason}; repair or move it, or set MLFLOW_TRACKING_URI") from error
        self.run_id = run.info.run_id
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self._client.set_terminated(self.run_id, "FINISHED")
            return
        from mlflow.exceptions import MlflowException

        try:
            self._client.set_tag(self.run_id, "error", str(error)[:LONGEST] or type(error).__name__)
            self._client.set_terminated(self.run_id, "FAILED")
        except MlflowException as second:  # the first error is the one to show
            logging.getLogger(__name__).warning("mlflow: run %s could not be marked as failed: %s", self.run_id, second)

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Parameters by name; long values are cut."""
        from mlflow.entities import Param

        entries = [Param(name, str(value)[:LONGEST]) for name, value in params.items()]
        for start in range(0, len(entries), PARAMS):
            self._client.log_batch(self.run_id, params=entries[start : start + PARAMS])

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Metrics of one step; those that are not finite are left out."""
        self.log_history([(step, metrics)])

    def log_history(self, records: Sequence[tuple[int, Mapping[str, float]]]) -> None:
        """Metrics of many steps, in few calls: each call costs milliseconds."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        points = [
            Metric(name, float(value), now, step)
            for step, metrics in records
            for name, value in metrics.items()
            if value == value and abs(value) != float("inf")
        ]
        for start in range(0, len(points), BATCH):
            self._client.log_batch(self.run_id, metrics=points[start : start + BATCH])

    def log_artifact(self, path: Path) -> None:
        """A file, under its own name."""
        self._client.log_artifact(self.run_id, str(path))

    def log_artifacts(self, folder: Path) -> None:
        """Every file of a folder, under its path there."""
        self._client.log_artifacts(self.run_id, str(folder))
