"""Engines as `nastool export` leaves them, read again: built here by TensorRT-RTX, for GPUs that aren't here."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from exporters.devices.attached import Device
from exporters.errors import DeviceMissing, EngineFailed
from exporters.graph.to_onnx import export_onnx
from toolchain.errors import BadModel
from toolchain.export import engine_file
from toolchain.export.engine_file import EngineFile, gpu_of, read_engine, require_engine_batch
from toolchain.export.engines import build_engines, engine_targets
from toolchain.export.manifest import file_records
from toolchain.export.precisions import ExportedFile

pytest.importorskip("tensorrt_rtx")


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    """An engine beside its manifest, for 1 to 32 images."""
    onnx = tmp_path / "model.onnx"
    export_onnx(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval(), torch.zeros(2, 3, 8, 8), onnx)
    built = build_engines([ExportedFile(onnx, "fp32", "fp32")], engine_targets(["86"], False), (1, 8, 32), tmp_path)
    (path,) = built
    content = {
        "engines": {file.name: record.model_dump(mode="json") for file, record in built.items()},
        "models": {"model.onnx": {"compute_precision": "fp32"}},
        "files": {name: record.model_dump() for name, record in file_records([onnx, path]).items()},
    }
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    return path


def test_what_the_manifest_says(engine: Path) -> None:
    assert read_engine(engine) == EngineFile(engine, "tensorrt_rtx", "8.6", "fp32", (1, 32))


def test_without_a_manifest_the_name_and_the_file_say_what_they_can(engine: Path) -> None:
    (engine.parent / "manifest.json").unlink()
    assert read_engine(engine) == EngineFile(engine, "tensorrt_rtx", "8.6", "unknown", None)
    other = engine.rename(engine.with_name("mine.engine"))
    assert read_engine(other) == EngineFile(other, "tensorrt_rtx", "", "unknown", None)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"engines": {"model.sm86.engine": 3}}'])
def test_another_programs_manifest_says_nothing(text: str, engine: Path) -> None:
    (engine.parent / "manifest.json").write_text(text)
    assert read_engine(engine).precision == "unknown"


def test_the_digest_detects_a_changed_byte(engine: Path) -> None:
    plan = bytearray(engine.read_bytes())
    plan[len(plan) // 2] ^= 1
    engine.write_bytes(plan)
    with pytest.raises(EngineFailed, match=r"model.sm86.engine is damaged, or is not the engine .*Run nastool export"):
        read_engine(engine)


def test_batches(engine: Path) -> None:
    metadata = read_engine(engine)
    for batch in (1, 8, 32):
        require_engine_batch(metadata, batch)
    with pytest.raises(BadModel, match=r"takes batches of 1 to 32, and .* 33 were asked for. Give --batch 32"):
        require_engine_batch(metadata, 33)
    (engine.parent / "manifest.json").unlink()
    require_engine_batch(read_engine(engine), 33)  # nobody knows before it is loaded


CPU = Device("cpu", "cpu", "Some CPU", 2)
ADA = Device("rtx4090", "gpu", "NVIDIA GeForce RTX 4090", 16384, capability="8.9")
AMPERE = Device("rtx3090", "gpu", "NVIDIA GeForce RTX 3090", 10496, capability="8.6")


def test_the_gpu_that_it_was_built_for(monkeypatch: pytest.MonkeyPatch) -> None:
    built = EngineFile(Path("m.engine"), "tensorrt_rtx", "8.6", "fp32", None)
    monkeypatch.setattr(engine_file, "attached", lambda: (CPU, ADA, AMPERE))
    assert gpu_of(built) == AMPERE
    assert gpu_of(EngineFile(Path("m.engine"), "tensorrt", "", "unknown", None)) == ADA
    monkeypatch.setattr(engine_file, "attached", lambda: (CPU, ADA))
    needed = r"built by tensorrt_rtx for an NVIDIA GPU of compute capability 8.6 \(GeForce RTX 30, A10\)"
    here = r"Here: cpu \(Some CPU\), rtx4090 \(NVIDIA GeForce RTX 4090, 8.9\)"
    with pytest.raises(DeviceMissing, match=rf"{needed}.*{here}") as refused:
        gpu_of(built)
    assert refused.value.exit_code == 5


def test_the_manifest_is_json_that_names_the_engine(engine: Path) -> None:
    """What `read_engine` reads is what `build_engines` says, word for word."""
    said = json.loads((engine.parent / "manifest.json").read_text())["engines"][engine.name]
    assert (said["built_from"], said["capability"], said["batches"]) == ("model.onnx", "8.6", [1, 8, 32])
