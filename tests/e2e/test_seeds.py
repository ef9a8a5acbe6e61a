"""`--seeds`: a run for each seed, the means of their results, and nothing repeated."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.long  # whole commands

Nastool = Callable[..., Any]


def test_means_over_seeds(settings: str, nastool: Nastool, tmp_path: Path) -> None:
    (tmp_path / "nastool.toml").write_text(settings)
    assert nastool("train", "--seeds", "0,2", cwd=tmp_path).code == 0
    assert sorted(run.name for run in (tmp_path / "runs").iterdir()) == ["r-seed0", "r-seed2"]
    limit = ("--macs", "31k", "--no-random-search", "--random", "2")
    searched = nastool("search", "--seeds", "0,2", *limit, "--json", cwd=tmp_path)
    assert searched.code == 0, searched.stderr
    accuracies_of_winners = [searched.json["seeds"][seed]["holdout_accuracy"] for seed in ("0", "2")]
    assert searched.json["means"]["holdout_accuracy"]["mean"] == pytest.approx(sum(accuracies_of_winners) / 2)
    best = json.loads((tmp_path / "runs/r-seed2/search/best.json").read_text())
    assert best["holdout_accuracy"] == accuracies_of_winners[1]
    assert len(best["random_select"]["networks"]) == 2
    first = nastool("retrain", "--seeds", "0,2", "--json", cwd=tmp_path)
    assert first.code == 0, first.stderr
    accuracies = [document["test_accuracy"] for document in first.json["seeds"].values()]
    mean = first.json["means"]["test_accuracy"]
    # Student's t of two values: 12.706 x |a - b| / 2
    assert mean["half_width"] == pytest.approx(12.7062 * abs(accuracies[0] - accuracies[1]) / 2, rel=1e-4)
    again = nastool("retrain", "--seeds", "0,2", "--json", cwd=tmp_path)
    assert again.json == first.json
    assert "images/s" not in again.stderr  # nothing is trained twice
    assert f"{mean['mean']:.2%}" in nastool("retrain", "--seeds", "0,2", cwd=tmp_path).stdout
