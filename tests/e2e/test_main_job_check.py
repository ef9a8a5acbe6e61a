"""`nastool check` and `nastool bench` on the export of the main job."""

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

Nastool = Callable[..., Any]


def test_check_passes_at_the_budget_of_the_search(finished_job: Any) -> None:
    verdict = finished_job.answers["check"].json
    assert verdict["passed"] is True
    assert verdict["limit_ms"] == 100.0
    assert verdict["problems"] == []


@pytest.mark.long
def test_check_fails_over_the_budget(job: Any, nastool: Nastool) -> None:
    answer = nastool("check", "--latency", "1us", "--json", cwd=job.folder)
    assert answer.code == 1
    assert answer.json["passed"] is False
    assert answer.json["limit_ms"] == 0.001
    assert "over the budget" in answer.stderr
    assert answer.json["problems"][0] in answer.stderr


@pytest.mark.long
def test_check_against_a_baseline(job: Any, nastool: Nastool) -> None:
    baseline = job.folder / "baseline.json"
    verdict = job.answers["check"].json

    def write_baseline(times: float) -> None:
        rounds = [[ms * times, reference] for ms, reference in verdict["rounds_ms"]]
        baseline.write_text(json.dumps(verdict | {"rounds_ms": rounds}))

    write_baseline(1000)
    assert nastool("check", "--baseline", baseline, cwd=job.folder).code == 0
    write_baseline(1 / 1000)
    answer = nastool("check", "--baseline", baseline, "--max-seconds", "5", cwd=job.folder)
    assert answer.code == 1
    assert "slower than the baseline by" in answer.stderr


def test_check_against_another_build(job: Any, nastool: Nastool) -> None:
    """The run's export compared with itself in the same rounds: machine load affects both."""
    flags = ("--baseline", "runs/r/export/model.onnx", "--max-regression", "100%", "--json")
    answer = nastool("check", *flags, cwd=job.folder)
    assert answer.code == 0, answer
    assert [finding["about"] for finding in answer.json["findings"]] == ["budget", "regression"]
    assert answer.json["ratio_interval"][0] <= answer.json["ratio"] <= answer.json["ratio_interval"][1] <= 2.0


def test_output_without_json_is_a_table(job: Any, nastool: Nastool) -> None:
    answer = nastool("check", cwd=job.folder)
    assert answer.code == 0
    assert "check passed" in answer.stdout
    assert "100.0 ms" in answer.stdout
    assert "Next: nastool report r" in answer.stderr


@pytest.mark.long
def test_separate_processes(job: Any) -> None:
    """Each command in a separate process, with stdout in a pipe."""
    process = subprocess.run(
        [sys.executable, "-m", "cli.main", "check", "--latency", "1us", "--json"],
        cwd=job.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 1
    assert json.loads(process.stdout)["passed"] is False
    assert "Traceback" not in process.stderr


def test_bench_scores_the_export_as_retraining_did(finished_job: Any, nastool: Nastool) -> None:
    flags = ("--accuracy", "test", "--rounds", "8", "--json")
    answer = nastool("bench", "run:r", "runs/r/export/model.onnx", *flags, cwd=finished_job.folder)
    assert answer.code == 0, answer
    by_name, by_path = answer.json["entries"]
    # parity is verified on 256 hold-out images, so at most one of these 360 may differ
    expected = pytest.approx(finished_job.answers["export"].json["test_accuracy"], abs=1 / by_name["accuracy_images"])
    assert by_name["accuracy"] == by_path["accuracy"] == expected
    assert by_name["graph_hash"] == by_path["graph_hash"]
