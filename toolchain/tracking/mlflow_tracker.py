"""MLflow: one MLflow run for each run, which later commands of the run continue.

MLflow reads its own environment variables: MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME and those of its authentication.
"""

import hashlib
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from toolchain.errors import BadConfig
from toolchain.files import Document, read_document, write_document
from toolchain.progress import Progress
from toolchain.tracking.delivery import WAIT_S, Delivery, first_sentence
from toolchain.tracking.tracker import Curves

NAME = "mlflow.json"
EXPERIMENT = "nastool"
INVALID = re.compile(r"[^\w\-. :/]")  # in MLflow's names
MAX_PARAMS = 100  # of one request
LONGEST = 6000  # characters of a parameter's value
SHORT_WAIT_S = 2.0  # of a command that was interrupted
AGAIN = (408, 429)  # statuses of HTTP below 500 that another attempt may change

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]


class StoredRun(Document):
    """The content of mlflow.json: the MLflow run of this run.

    Args:
        server: a digest of the tracking URI, which may hold a password.
    """

    schema_version: Literal[1] = 1
    server: str
    experiment: str
    mlflow_run: str


def require_mlflow() -> None:
    """Check that MLflow is installed.

    Raises:
        BadConfig: it is not.
    """
    if find_spec("mlflow") is None:
        raise BadConfig("--track mlflow needs MLflow, which is not installed. Run pip install 'nastool[mlflow]'")


class MLflow:
    """A `Tracker` for MLflow. Everything is sent in the background.

    A server that does not answer is said once; what it missed is kept and sent when it answers again.
    """

    def __init__(self, folder: Path, progress: Progress) -> None:
        """
        Args:
            folder: of the run.

        Raises:
            BadConfig: MLflow is not installed, or refuses the tracking URI.
            BadDocument: mlflow.json is damaged.
        """
        require_mlflow()
        self._progress, self._said = progress, False
        self._folder = folder
        path = folder / NAME
        self._stored = (
            read_document(path, StoredRun, "Remove it to start another MLflow run") if path.exists() else None
        )
        self._client, self._uri = _client()
        self._mlflow_run = ""
        self._last_steps: dict[str, int] = {}
        self._delivery = Delivery(_is_final)
        self._delivery.put(self._open)

    def training(self, folder: str, name: str, start: int) -> Curves:
        return _MLflowCurves(self, name)

    def search(self, budget: str) -> Curves:
        return _MLflowCurves(self, f"search/{budget}")

    def settings(self, section: str, values: Mapping[str, object]) -> None:
        self._put(partial(self._log_params, dict(_flat(values, section))))

    def results(self, name: str, values: Mapping[str, float | None]) -> None:
        known = {_valid(f"{name}/{key}"): float(value) for key, value in values.items() if value is not None}
        self._put(partial(self._log_results, known))

    def keep(self, file: Path) -> None:
        place = file.parent.relative_to(self._folder)
        self._put(lambda: self._client.log_artifact(self._mlflow_run, str(file), str(place)))

    def add(self, prefix: str, step: int, values: Mapping[str, float]) -> None:
        """Points of curves; those up to the last step that the server has are left out."""
        now_ms = int(time.time() * 1000)
        points = {_valid(f"{prefix}/{name}"): value for name, value in values.items()}
        self._put(partial(self._log_points, step, points, now_ms))

    def close(self, status: Status) -> None:
        """Send what is left, and set the status of the MLflow run."""
        self._put(lambda: self._client.set_terminated(self._mlflow_run, status))
        missed = self._delivery.close(SHORT_WAIT_S if status == "KILLED" else WAIT_S)
        if missed:
            self._progress.say(
                f"MLflow at {_shown(self._uri)} missed {missed} of this command's updates"
                f"{self._reason if not self._said else ''}. The run's own files have everything"
            )

    def _put(self, operation: Any) -> None:
        self._delivery.put(operation)
        if self._delivery.problem and not self._said:
            self._said = True
            self._progress.say(
                f"MLflow at {_shown(self._uri)} cannot be used{self._reason}. The command goes on; what "
                f"was missed is sent if it answers again"
            )

    @property
    def _reason(self) -> str:
        """`: why`, or nothing; the library repeats the address with its password."""
        return f": {_shown(self._delivery.problem)}" if self._delivery.problem else ""

    def _open(self) -> None:
        """Continue the MLflow run of this run, or create one."""
        stored, server = self._stored, hashlib.sha256(self._uri.encode()).hexdigest()[:16]
        experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
        if stored and (stored.server, stored.experiment) == (server, experiment) and self._exists(stored.mlflow_run):
            self._mlflow_run = stored.mlflow_run
            self._client.update_run(self._mlflow_run, status="RUNNING")
            return
        if not self._mlflow_run:  # of an attempt whose mlflow.json could not be written
            tags = {"nastool.run_folder": str(self._folder.absolute())}
            created = self._client.create_run(self._experiment(experiment), run_name=self._folder.name, tags=tags)
            self._mlflow_run = created.info.run_id
        write_document(
            self._folder / NAME, StoredRun(server=server, experiment=experiment, mlflow_run=self._mlflow_run)
        )

    def _exists(self, mlflow_run: str) -> bool:
        from mlflow.exceptions import MlflowException

        try:
            return bool(self._client.get_run(mlflow_run).info.lifecycle_stage == "active")
        except MlflowException as problem:
            if problem.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise

    def _experiment(self, name: str) -> str:
        """The id of an experiment, which is created if it is new; another command may do so at the same time."""
        from mlflow.exceptions import MlflowException

        known = self._client.get_experiment_by_name(name)
        if known is None:
            try:
                return str(self._client.create_experiment(name))
            except MlflowException as problem:
                known = self._client.get_experiment_by_name(name)
                if known is None:
                    raise problem from None
        return str(known.experiment_id)

    def _log_params(self, params: Mapping[str, str]) -> None:
        """Those that the MLflow run does not have: MLflow changes none."""
        from mlflow.entities import Param

        known = self._client.get_run(self._mlflow_run).data.params
        new = [Param(_valid(key), value[:LONGEST]) for key, value in params.items() if _valid(key) not in known]
        for first in range(0, len(new), MAX_PARAMS):
            self._client.log_batch(self._mlflow_run, params=new[first : first + MAX_PARAMS])

    def _log_results(self, results: Mapping[str, float]) -> None:
        """Those that differ from the last ones: a command that has nothing to do gives the same again."""
        known = self._client.get_run(self._mlflow_run).data.metrics
        new = {key: value for key, value in results.items() if known.get(key) != value}
        self._send(0, new, int(time.time() * 1000))

    def _log_points(self, step: int, points: Mapping[str, float], time_ms: int) -> None:
        new = {key: value for key, value in points.items() if step > self._last_step(key)}
        self._send(step, new, time_ms)
        self._last_steps.update(dict.fromkeys(new, step))

    def _last_step(self, key: str) -> int:
        if key not in self._last_steps:
            history = self._client.get_metric_history(self._mlflow_run, key)
            self._last_steps[key] = max((point.step for point in history), default=-1)
        return self._last_steps[key]

    def _send(self, step: int, values: Mapping[str, float], time_ms: int) -> None:
        from mlflow.entities import Metric

        if values:
            metrics = [Metric(key, value, time_ms, step) for key, value in values.items()]
            self._client.log_batch(self._mlflow_run, metrics=metrics)


@dataclass(frozen=True)
class _MLflowCurves:
    tracker: MLflow
    prefix: str

    def add(self, step: int, values: Mapping[str, float]) -> None:
        self.tracker.add(self.prefix, step, values)


def _client() -> tuple[Any, str]:
    """MLflow's client, and the address of its store.

    Raises:
        BadConfig: MLflow refuses the address.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # `Delivery` tries again, and says so earlier
    import mlflow

    for name in ("mlflow", "alembic"):  # their notes on new tables would be in the middle of progress bars
        logging.getLogger(name).setLevel(logging.WARNING)
    uri = mlflow.get_tracking_uri()
    try:
        return mlflow.MlflowClient(), uri
    except Exception as problem:  # of the library or of its database, for any address
        reason = first_sentence(problem)
        raise BadConfig(
            f"MLflow cannot use the tracking store {_shown(uri)}: {_shown(reason)}. Set MLFLOW_TRACKING_URI to "
            f"another, as sqlite:///mlflow.db, or leave out --track mlflow"
        ) from None


def _is_final(problem: Exception) -> bool:
    """Whether the server refuses a request, or the file to send is gone: another attempt ends in the same way."""
    if isinstance(problem, FileNotFoundError):
        return True
    status = getattr(problem, "get_http_status_code", None)
    code = status() if callable(status) else 500
    return 400 <= code < 500 and code not in AGAIN


def _shown(uri: str) -> str:
    """A text with an address, without user and password."""
    return re.sub(r"//[^/@]*@", "//", uri)


def _valid(name: str) -> str:
    return INVALID.sub("_", name)


def _flat(values: Mapping[str, object], prefix: str) -> Iterator[tuple[str, str]]:
    """Nested settings as `train.recipe.lr`; keys without a value are left out, and lists are joined."""
    for key, value in values.items():
        name = f"{prefix}.{key}" if prefix else key
        if isinstance(value, Mapping):
            yield from _flat(value, name)
        elif value not in (None, []):
            yield name, " ".join(map(str, value)) if isinstance(value, list) else str(value)
