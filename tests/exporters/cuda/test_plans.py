"""What an engine's file says of itself, held to plans that TensorRT-RTX builds here."""

from pathlib import Path

import pytest
import torch
from torch import nn

from exporters.backends import CompileSpec
from exporters.backends.tensorrt import Backend
from exporters.cuda.plans import HEADER_BYTES, SIZE_AT, runtime_of
from exporters.errors import EngineFailed
from exporters.graph.to_onnx import export_onnx

trt = pytest.importorskip("tensorrt_rtx")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plans")
    export_onnx(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval(), torch.zeros(2, 3, 8, 8), folder / "net.onnx")
    built = Backend("tensorrt_rtx").build(folder / "net.onnx", CompileSpec(4), "8.6")
    built.save(folder / "model.sm86.engine")
    return folder / "model.sm86.engine"


def test_it_names_the_backend_that_built_it(engine: Path) -> None:
    assert runtime_of(engine) == "tensorrt_rtx"


def test_the_header_is_the_runtimes(engine: Path) -> None:
    """The length that TensorRT-RTX calls its header, and the size that its runtime asserts, are where we look."""
    assert trt.Runtime(trt.Logger()).engine_header_size == HEADER_BYTES
    plan = engine.read_bytes()
    assert int.from_bytes(plan[SIZE_AT : SIZE_AT + 8], "little") == len(plan)


def test_tensorrts_own_tag(tmp_path: Path) -> None:
    (tmp_path / "model.engine").write_bytes(b"ftrt" + bytes(100))
    assert runtime_of(tmp_path / "model.engine") == "tensorrt"


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        (0, "is not an engine"),
        (3, "is not an engine"),
        (20, "is damaged: 20 bytes of"),
        (-1, r"is damaged: \d+ bytes of \d+"),
    ],
)
def test_cut_off(keep: int, expected: str, engine: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.engine").write_bytes(engine.read_bytes()[:keep])
    with pytest.raises(EngineFailed, match=rf"cut\.engine {expected}"):
        runtime_of(tmp_path / "cut.engine")


def test_what_is_no_engine(tmp_path: Path) -> None:
    (tmp_path / "text.engine").write_text("hello " * 30)
    with pytest.raises(
        EngineFailed, match=r"text\.engine is not an engine of TensorRT or TensorRT-RTX. Build it again"
    ):
        runtime_of(tmp_path / "text.engine")
    for path in (tmp_path / "gone.engine", tmp_path):
        with pytest.raises(
            EngineFailed, match=r"cannot be read: (No such file|Is a directory).*nastool export --engine"
        ):
            runtime_of(path)
