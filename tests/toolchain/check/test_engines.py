"""The gate on engines: of the backend fake, whose device is here, and of TensorRT-RTX, whose GPU is not."""

import json
from pathlib import Path

import pytest

from exporters.backends import CompileSpec
from exporters.backends.fake import Backend
from exporters.errors import DeviceMissing, EngineFailed
from exporters.graph.model import Model
from latency_db.errors import MissingLatency
from toolchain.check import gate
from toolchain.check.gate import Verdict
from toolchain.check.measure import Request, measure_in_fresh_process, request_files
from toolchain.check.outcome import Outcome
from toolchain.check.requirements import CheckedFile
from toolchain.check.verdict import Judgment
from toolchain.config import Config
from toolchain.errors import BadConfig, BadModel
from toolchain.export.manifest import EngineRecord, file_records
from toolchain.progress import Progress, Quiet


@pytest.fixture(autouse=True)
def confirmed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(request: Request, progress: Progress, title: str) -> Judgment:
        return gate.measure_in_process(request, request_files(request), progress, title)

    monkeypatch.setattr(gate, "measure_in_fresh_process", measure)


def check(config: Config, path: Path, limit_ms: float | None, baseline: Path | None, progress: Progress) -> Verdict:
    return gate.check(config, CheckedFile(path, limit_ms, None), baseline, progress)


def engine(file: Path, folder: Path, slowdown: float = 0.0, batch: int = 8) -> Path:
    path = folder / f"slower{slowdown:g}.engine"
    Backend(slowdown=slowdown).build(file, CompileSpec(batch)).save(path)
    return path


def with_manifest(path: Path, file: Path) -> None:
    """What `nastool export` writes beside an engine, as far as a check reads it."""
    record = EngineRecord(
        precision="fp32", built_from=file.name, capability="current", built_by="fake 1", batches=(8, 8, 8)
    )
    content = {
        "engines": {path.name: record.model_dump(mode="json")},
        "models": {file.name: {"compute_precision": "fp32", "graph_hash": Model(file).graph_hash}},
        "files": {name: entry.model_dump() for name, entry in file_records([path]).items()},
    }
    (path.parent / "manifest.json").write_text(json.dumps(content))


def test_budget(file: Path, config: Config, ms: float, tmp_path: Path) -> None:
    good, slow = engine(file, tmp_path), engine(file, tmp_path, 0.1)
    passed = check(config, good, ms, None, Quiet())
    assert (passed.outcome, passed.latency_ms, passed.graph_hash) == (Outcome.PASS, ms, None)
    assert (passed.target.backend, passed.target.precision) == ("fake", "unknown")
    failed = check(config, slow, ms, None, Quiet())
    assert failed.outcome is Outcome.FAIL
    assert failed.first is not None, "confirmed by a second measurement"
    assert failed.latency_ms == pytest.approx(ms * 1.1)


def test_another_engine_and_the_onnx_file_side_by_side(file: Path, config: Config, tmp_path: Path) -> None:
    good, slow = engine(file, tmp_path), engine(file, tmp_path, 0.1)
    for path, baseline, outcome in (
        (slow, good, Outcome.FAIL),
        (good, slow, Outcome.PASS),
        (slow, file, Outcome.FAIL),
        (file, slow, Outcome.PASS),
    ):
        assert check(config, path, None, baseline, Quiet()).outcome is outcome


def test_a_stored_baseline(file: Path, config: Config, tmp_path: Path) -> None:
    good, slow = engine(file, tmp_path), engine(file, tmp_path, 0.1)
    stored = tmp_path / "baseline.json"
    stored.write_text(json.dumps(check(config, good, 1e9, None, Quiet()).as_dict()))
    assert check(config, good, None, stored, Quiet()).outcome is Outcome.PASS
    verdict = check(config, slow, None, stored, Quiet())
    assert verdict.outcome is Outcome.FAIL
    assert "slower than the baseline by 10.0%" in verdict.problems[0]


def test_the_latency_table_knows_the_network_of_an_engine(file: Path, config: Config, tmp_path: Path) -> None:
    path = engine(file, tmp_path)
    with pytest.raises(BadConfig, match=r"no manifest.json beside the engine says which network it was built from"):
        check(config, path, None, Path("db"), Quiet())
    with_manifest(path, file)
    with pytest.raises(
        MissingLatency, match=f"no measurement of a network with the graph hash {Model(file).graph_hash}"
    ):
        check(config, path, None, Path("db"), Quiet())
    verdict = check(config, path, 1e9, None, Quiet())
    assert (verdict.graph_hash, verdict.target.precision) == (Model(file).graph_hash, "fp32")


def test_what_cannot_be_checked(file: Path, config: Config, tmp_path: Path) -> None:
    path = engine(file, tmp_path, batch=4)
    with pytest.raises(EngineFailed, match=r"was not built for a batch of 8. Give --batch 4"):
        check(config, path, 1e9, None, Quiet())
    with_manifest(path, file)  # it says 8
    (tmp_path / "manifest.json").write_text((tmp_path / "manifest.json").read_text().replace("[8, 8, 8]", "[4, 4, 4]"))
    with pytest.raises(BadModel, match=r"takes batches of 4, and latencies for a batch of 8 were asked for"):
        check(config, path, 1e9, None, Quiet())
    with pytest.raises(EngineFailed, match="cannot be read: No such file"):
        check(config, tmp_path / "gone.engine", 1e9, None, Quiet())


def test_an_engine_for_a_gpu_that_is_not_here(file: Path, config: Config, tmp_path: Path) -> None:
    (tmp_path / "model.sm86.engine").write_bytes(b"ftrt" + bytes(100))
    with pytest.raises(
        DeviceMissing, match=r"for an NVIDIA GPU of compute capability 8.6 \(GeForce RTX 30, A10\)"
    ) as e:
        check(config, tmp_path / "model.sm86.engine", 1e9, None, Quiet())
    assert e.value.exit_code == 5


@pytest.mark.long
def test_a_fresh_process_measures_the_same(file: Path, config: Config, tmp_path: Path) -> None:
    slow, good = engine(file, tmp_path, 0.1), engine(file, tmp_path)
    requests: list[Request] = []

    def keep(request: Request, progress: Progress, title: str) -> Judgment:
        requests.append(request)
        return gate.measure_in_process(request, request_files(request), progress, title)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gate, "measure_in_fresh_process", keep)
        verdict = check(config, slow, None, good, Quiet())
    judgment = measure_in_fresh_process(requests[0], Quiet(), "again")
    assert judgment.outcome is verdict.outcome is Outcome.FAIL
    assert judgment.ratio is not None
    assert judgment.ratio.middle == pytest.approx(1.1)
