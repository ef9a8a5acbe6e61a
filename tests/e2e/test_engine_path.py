"""The whole path of an engine on the backend fake: build, verify, time, manifest, check, bench."""

import json
import shutil
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.long
Nastool = Callable[..., Any]
ENGINE = "runs/r/export/model.current.engine"


@pytest.fixture
def without_latency_limit(job: Any) -> Any:
    """The job, whose winner has no latency limit: that would be for another target."""
    path = job.folder / "runs/r/search/best.json"
    best = json.loads(path.read_text())
    limits = {key: value for key, value in best["limits"].items() if key != "latency_ms"}
    path.write_text(json.dumps(best | {"limits": limits}))
    return job


def test_build_verify_time_check_and_bench(without_latency_limit: Any, nastool: Nastool) -> None:
    folder = without_latency_limit.folder
    exported = nastool("export", "--engine", "--backend", "fake", "--batches", "1..16", "--json", cwd=folder)
    assert exported.code == 0, exported.stderr
    (record,) = exported.json["engines"].values()
    assert (record["built_by"], record["batches"], record["not_verified"]) == ("fake 1", [1, 8, 16], "")
    assert record["parity"]["batches"] == [1, 8, 16]
    assert record["parity"]["top1_agreement"] == 1.0
    assert record["holdout_accuracy"] == exported.json["holdout_accuracy"]
    assert record["measured_latency_ms"] == record["onnx_latency_ms"] == exported.json["measured_latency_ms"]

    on_fake = ("--backend", "fake")
    passed = nastool("check", ENGINE, *on_fake, "--latency", "1s", "--json", cwd=folder)
    assert passed.code == 0, passed.stderr
    assert passed.json["graph_hash"] == exported.json["models"]["model.onnx"]["graph_hash"]
    (folder / "baseline.json").write_text(passed.stdout)

    shutil.copytree(folder / "runs/r/export", folder / "before")
    slowed = nastool("export", "--engine", "--backend", "fake:slowdown=0.2", "--json", cwd=folder)
    assert slowed.code == 0, slowed.stderr
    assert slowed.json["engines"]["model.current.engine"]["batches"] == [8, 8, 8]
    for baseline in ("before/model.current.engine", "baseline.json", "runs/r/export/model.onnx"):
        failed = nastool("check", ENGINE, *on_fake, "--baseline", baseline, "--junit", "junit.xml", cwd=folder)
        assert failed.code == 1, failed.stderr
        assert "slower than the baseline by 20.0%" in failed.stderr
        assert 'failures="1"' in (folder / "junit.xml").read_text()

    bench = nastool("bench", "before/model.current.engine", ENGINE, *on_fake, "--batch", "8", "--json", cwd=folder)
    assert bench.code == 0, bench.stderr
    assert [entry["ratio"] for entry in bench.json["entries"]] == [1.0, pytest.approx(1.2)]


def test_an_engine_of_a_gpu_that_is_not_here_ends_with_exit_code_5(
    without_latency_limit: Any, nastool: Nastool
) -> None:
    pytest.importorskip("tensorrt_rtx")
    folder = without_latency_limit.folder
    exported = nastool("export", "--sm", "86", cwd=folder)
    assert exported.code == 0, exported.stderr
    engine = "runs/r/export/model.sm86.engine"
    answer = nastool("check", engine, "--latency", "1ms", "--junit", "junit.xml", cwd=folder)
    assert answer.code == 5
    assert "for an NVIDIA GPU of compute capability 8.6 (GeForce RTX 30, A10)" in answer.stderr
    assert 'skipped="1"' in (folder / "junit.xml").read_text()
