"""`--track mlflow` is given once: all commands of the run write into the same MLflow run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

pytestmark = pytest.mark.long  # a search and a retraining

Nastool = Callable[..., Any]


def test_search_and_retrain_continue_the_mlflow_run_of_the_training(
    nastool: Nastool, settings: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    own = settings.replace("[profile]", '[profile]\nbackend = "fake"')
    own = own.replace("[search]", "[search]\nthreads = 1")
    (tmp_path / "nastool.toml").write_text(own)
    trained = nastool("train", "--track", "mlflow", cwd=tmp_path)
    assert "--track" not in trained.stderr  # the run remembers it
    nastool("search", "--macs", "31k", cwd=tmp_path)
    retrained = nastool("retrain", "--json", cwd=tmp_path).json
    nastool("retrain", cwd=tmp_path)  # nothing to do, and nothing twice

    client = MlflowClient(store)
    (run,) = client.search_runs([client.get_experiment_by_name("nastool").experiment_id])
    assert (run.info.run_name, run.info.status) == ("r", "FINISHED")
    params, metrics = run.data.params, run.data.metrics
    assert params["data"] == "digits"
    assert params["train.recipe"] == params["retrain.recipe"] == "quick"
    assert params["train.recipe.batch"] == "32"
    assert params["search.population"] == "6"
    assert params["profile.batch"] == "8"
    assert metrics["retrain/macs_31k/test_accuracy"] == retrained["test_accuracy"]
    assert metrics["winner/macs_31k/macs"] <= 31_000

    def steps(key: str) -> list[int]:
        return sorted(point.step for point in client.get_metric_history(run.info.run_id, key))

    assert steps("search/macs_31k/evolution/best_accuracy") == [0, 1, 2]
    assert steps("retrain/macs_31k/test_accuracy") == [0]
    assert metrics["search/macs_31k/evolution/best_accuracy"] == metrics["winner/macs_31k/holdout_accuracy"]
    last = steps("supernet/loss")[-1]
    assert last == steps("supernet/holdout/middle path")[-1] > 0
    assert steps("retrain/macs_31k/loss")
    files = client.list_artifacts(run.info.run_id, "search/macs_31k")
    assert [Path(file.path).name for file in files] == ["architecture.svg", "best.json"]
    assert sorted(path.name for path in (tmp_path / "runs/r/tb").iterdir())[-1] == "supernet"  # TensorBoard as well
