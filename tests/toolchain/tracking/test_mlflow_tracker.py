"""MLflow in its own SQLite store: what a run logs there, and what happens where MLflow or its server is missing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run as MLflowRun

from toolchain.config import Config, parse_config
from toolchain.errors import BadConfig, BadDocument
from toolchain.progress import Quiet
from toolchain.runs import Run
from toolchain.tracking import mlflow_tracker
from toolchain.tracking.mlflow_tracker import MLflow
from toolchain.tracking.tracked import tracked

long = pytest.mark.long  # making the store takes seconds
DEAD = "http://user:secret@127.0.0.1:9"  # the port discard, on which nothing listens


class Lines(Quiet):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"


@pytest.fixture(autouse=True)
def in_store(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow writes into `store`, an experiment for each test; files go below the working directory."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", tmp_path.name)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a run."""
    made = tmp_path / "runs" / "pets"
    made.mkdir(parents=True)
    return made


def logged(store: str, experiment: str) -> list[MLflowRun]:
    """The runs of an experiment."""
    client = MlflowClient(store)
    return list(client.search_runs([client.get_experiment_by_name(experiment).experiment_id]))


def points(store: str, run: MLflowRun, key: str) -> list[tuple[int, float]]:
    history = MlflowClient(store).get_metric_history(run.info.run_id, key)
    return sorted((point.step, point.value) for point in history)


@long
def test_all_of_a_command_is_in_the_store(store: str, folder: Path) -> None:
    (folder / "search/latency_6ms").mkdir(parents=True)
    (folder / "search/latency_6ms/best.json").write_text("{}")
    tracker = MLflow(folder, Quiet())
    tracker.settings("train", {"recipe": {"lr": 0.1, "epochs": 5.0}, "sampler": "constraint", "nothing": None})
    tracker.settings("", {"data": "digits", "widths": [], "devices": ["cpu", "gpu"]})
    tracker.training("supernet", "supernet", 0).add(3, {"loss": 2.5, "holdout/small path": 0.25})
    tracker.search("latency_6ms@cmd:x").add(0, {"best_accuracy": 0.75})
    tracker.results("winner/latency_6ms", {"macs": 31000, "latency_ms": None})
    tracker.keep(folder / "search/latency_6ms/best.json")
    tracker.close("FINISHED")

    (run,) = logged(store, folder.parents[1].name)
    assert (run.info.run_name, run.info.status) == ("pets", "FINISHED")
    assert run.data.params == {
        "train.recipe.lr": "0.1",
        "train.recipe.epochs": "5.0",
        "train.sampler": "constraint",
        "data": "digits",
        "devices": "cpu gpu",
    }
    assert run.data.metrics == {
        "supernet/loss": 2.5,
        "supernet/holdout/small path": 0.25,
        "search/latency_6ms_cmd:x/best_accuracy": 0.75,
        "winner/latency_6ms/macs": 31000.0,
    }
    assert points(store, run, "supernet/loss") == [(3, 2.5)]
    artifacts = MlflowClient(store).list_artifacts(run.info.run_id, "search/latency_6ms")
    assert [artifact.path for artifact in artifacts] == ["search/latency_6ms/best.json"]
    assert run.data.tags["nastool.run_folder"] == str(folder)


@long
def test_a_later_command_continues_the_same_mlflow_run(store: str, folder: Path) -> None:
    """Steps that a killed command had sent are not drawn twice, and MLflow keeps the first value of a setting."""
    killed = MLflow(folder, Quiet())
    killed.settings("train", {"lr": 0.1})
    for step in (2, 4, 6):
        killed.training("supernet", "supernet", 0).add(step, {"loss": float(step)})
    killed.results("winner/b", {"macs": 5})
    killed.close("KILLED")
    resumed = MLflow(folder, Quiet())
    resumed.settings("train", {"lr": 0.2, "batch": 8})
    for step in (3, 5, 7):
        resumed.training("supernet", "supernet", 2).add(step, {"loss": float(step)})
    resumed.results("winner/b", {"macs": 5})
    resumed.close("FINISHED")

    (run,) = logged(store, folder.parents[1].name)
    assert run.info.status == "FINISHED"
    assert points(store, run, "supernet/loss") == [(2, 2.0), (4, 4.0), (6, 6.0), (7, 7.0)]
    assert points(store, run, "winner/b/macs") == [(0, 5.0)]
    assert run.data.params == {"train.lr": "0.1", "train.batch": "8"}


@long
def test_a_deleted_mlflow_run_is_replaced(store: str, folder: Path) -> None:
    MLflow(folder, Quiet()).close("FINISHED")
    (deleted,) = logged(store, folder.parents[1].name)
    MlflowClient(store).delete_run(deleted.info.run_id)
    MLflow(folder, Quiet()).close("FINISHED")
    (run,) = logged(store, folder.parents[1].name)
    assert run.info.run_id != deleted.info.run_id
    assert json.loads((folder / "mlflow.json").read_text())["mlflow_run"] == run.info.run_id


def test_a_dead_server_is_said_once_and_stops_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DEAD)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    progress = Lines()
    tracker = MLflow(folder, progress)
    curves = tracker.training("supernet", "supernet", 0)
    while not progress.lines:
        curves.add(1, {"loss": 1.0})
    curves.add(2, {"loss": 1.0})
    tracker.close("FINISHED")
    first, last = progress.lines
    assert first.startswith("MLflow at http://127.0.0.1:9 cannot be used: API request to http")
    assert first.endswith("The command goes on; what was missed is sent if it answers again")
    assert "missed" in last
    assert "secret" not in first + last
    assert not (folder / "mlflow.json").exists()


@long
def test_what_mlflow_refuses_is_left_out(store: str, folder: Path) -> None:
    progress = Lines()
    tracker = MLflow(folder, progress)
    tracker.add("supernet", 1, {"x" * 300: 1.0})
    tracker.add("supernet", 2, {"loss": 1.0})
    tracker.close("FINISHED")
    assert "missed 1 of this command's updates: 'Metric name' exceeds the maximum length" in progress.lines[-1]
    (run,) = logged(store, folder.parents[1].name)
    assert run.data.metrics == {"supernet/loss": 1.0}


def test_an_address_that_mlflow_refuses_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "ftp://user:secret@somewhere")
    with pytest.raises(BadConfig) as problem:
        MLflow(folder, Quiet())
    assert str(problem.value).startswith("MLflow cannot use the tracking store ftp://somewhere: ")
    assert str(problem.value).endswith("or leave out --track mlflow")
    assert "secret" not in str(problem.value)


def test_a_damaged_mlflow_json_is_an_error(folder: Path) -> None:
    (folder / "mlflow.json").write_text("{}")
    with pytest.raises(BadDocument) as problem:
        MLflow(folder, Quiet())
    assert str(problem.value).endswith("Remove it to start another MLflow run")


def test_without_mlflow_the_package_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow_tracker, "find_spec", lambda name: None)
    with pytest.raises(BadConfig) as problem:
        MLflow(folder, Quiet())
    expected = "--track mlflow needs MLflow, which is not installed. Run pip install 'nastool[mlflow]'"
    assert str(problem.value) == expected


def config_of(**changes: object) -> Config:
    return parse_config("", {"data": "digits", **changes}, "test")


@long
@pytest.mark.parametrize(
    ("ended_by", "status"), [(None, "FINISHED"), (ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")]
)
def test_settings_and_status_of_a_command(
    store: str, folder: Path, ended_by: type[BaseException] | None, status: str
) -> None:
    run = Run(folder)
    config = config_of(track="mlflow", **{"search.latency": ["6ms"], "search.population": 8, "retrain.device": "cpu"})

    def command() -> None:
        with tracked(config, run, Quiet(), "search") as trackers:
            assert len(trackers) == 1
            if ended_by:
                raise ended_by

    outcome: Callable[[], Any] = command
    if ended_by:
        with pytest.raises(ended_by):
            outcome()
    else:
        outcome()
    (made,) = logged(store, folder.parents[1].name)
    assert made.info.status == status
    params = made.data.params
    assert params["data"] == "digits"
    assert params["search.population"] == "8"
    assert params["profile.backend"] == "auto"
    assert not {"search.latency", "profile.db", "retrain.device"} & set(params)


def test_tensorboard_alone_adds_no_tracker(folder: Path) -> None:
    with tracked(config_of(), Run(folder), Quiet()) as trackers:
        assert trackers == ()
    assert not (folder / "mlflow.json").exists()
