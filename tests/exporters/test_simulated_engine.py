"""Engines of the backend fake: built, stored, loaded, run and timed like those of TensorRT."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from exporters.backends import BuildsEngines, CompileSpec, fake, tensorrt
from exporters.backends.fake import Backend, latency_ms
from exporters.cuda.plans import runtime_of
from exporters.errors import EngineFailed, WrongPrecision
from exporters.graph.to_onnx import export_onnx


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    export_onnx(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten()).eval(), torch.zeros(2, 1, 6, 6), path)
    return path


def engine(file: Path, folder: Path, spec: CompileSpec | None = None, slowdown: float = 0.0) -> Path:
    path = folder / "model.current.engine"
    Backend(slowdown=slowdown).build(file, spec or CompileSpec(8)).save(path)
    return path


def test_it_computes_what_its_file_does(file: Path, tmp_path: Path) -> None:
    images = np.random.default_rng(0).standard_normal((5, 1, 6, 6), dtype=np.float32)
    loaded, direct = (Backend().compile(path, CompileSpec(8)) for path in (engine(file, tmp_path), file))
    np.testing.assert_array_equal(loaded.run({"images": images})["logits"], direct.run({"images": images})["logits"])
    loaded.close()
    with pytest.raises(ValueError, match="this session was closed"):
        loaded.run({"images": images})


def test_it_keeps_the_slowdown_of_its_builder(file: Path, tmp_path: Path) -> None:
    expected_ms = latency_ms(file, 8)
    for slowdown in (0.0, 0.25):
        path = engine(file, tmp_path, slowdown=slowdown)
        timing = Backend().compile(path, CompileSpec(8)).time(1.0)
        assert timing.busy_ms_min == pytest.approx(expected_ms * (1 + slowdown))


def test_only_this_backend_runs_it(file: Path, tmp_path: Path) -> None:
    path = engine(file, tmp_path)
    assert runtime_of(path) == "fake"
    path.write_bytes(b"vtrt" + path.read_bytes()[4:])
    with pytest.raises(EngineFailed, match=r"is an engine of tensorrt_rtx. Give --backend tensorrt_rtx"):
        Backend().compile(path, CompileSpec(8))


@pytest.mark.parametrize(
    ("built", "run", "message"),
    [
        (CompileSpec(8), CompileSpec(4), "was not built for a batch of 4. Give --batch 8, or build it again"),
        (CompileSpec(8, batches=(2, 8, 16)), CompileSpec(1), "was not built for a batch of 1"),
        (CompileSpec(8), CompileSpec(8, precision="int8"), "computes in fp32, not in int8. Build it again"),
    ],
)
def test_what_it_was_not_built_for(
    built: CompileSpec, run: CompileSpec, message: str, file: Path, tmp_path: Path
) -> None:
    path = engine(file, tmp_path, built)
    with pytest.raises(EngineFailed, match=rf"model.current.engine {message}"):
        Backend().compile(path, run)


def test_a_range_of_batches(file: Path, tmp_path: Path) -> None:
    path = engine(file, tmp_path, CompileSpec(8, batches=(1, 8, 16)))
    for batch in (1, 8, 16):
        engine_ms = Backend().compile(path, CompileSpec(batch, precision="unknown")).time(1.0).wall_ms_min
        assert engine_ms == Backend().compile(file, CompileSpec(batch)).time(1.0).wall_ms_min


def test_a_damaged_engine(file: Path, tmp_path: Path) -> None:
    path = engine(file, tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(EngineFailed, match="is damaged"):
        Backend().compile(path, CompileSpec(8))
    path.write_bytes(content[:64] + b"x" * (len(content) - 64))
    with pytest.raises(EngineFailed, match=r"fake cannot load model.current.engine: .*Build it again"):
        Backend().compile(path, CompileSpec(8))


def test_it_is_built_for_this_device_and_precision_alone(file: Path) -> None:
    with pytest.raises(EngineFailed, match=r"builds no engines for compute capability 8.6. Use --engine"):
        Backend().build(file, CompileSpec(8), "8.6")
    with pytest.raises(WrongPrecision):
        Backend().build(file, CompileSpec(8, precision="fp16"))


@pytest.mark.parametrize("backend", [fake.Backend(), tensorrt.Backend()])
def test_backends_that_build_engines(backend: object) -> None:
    assert isinstance(backend, BuildsEngines)
