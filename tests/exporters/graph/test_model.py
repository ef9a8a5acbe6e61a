"""A file is parsed once, whatever is read from it."""

from pathlib import Path

import pytest
import torch
from torch import nn

from exporters.backends import CompileSpec, load
from exporters.errors import NotOnnx, WrongPrecision
from exporters.graph import model as model_module
from exporters.graph.graph_hash import model_hash
from exporters.graph.model import Model, as_model
from exporters.graph.onnx_file import OnnxFile, load_model, read_onnx
from exporters.graph.to_onnx import export_onnx
from exporters.manifest import sha256


@pytest.fixture
def path(tmp_path: Path) -> Path:
    export_onnx(nn.Conv2d(3, 4, 1), torch.zeros(2, 3, 5, 5), tmp_path / "net.onnx", {"purpose": "a test"})
    return tmp_path / "net.onnx"


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The path of every parsed file."""
    paths: list[Path] = []

    def read(path: Path) -> OnnxFile:
        paths.append(path)
        return read_onnx(path)

    monkeypatch.setattr(model_module, "read_onnx", read)
    return paths


def test_all_properties_and_two_backends_parse_the_file_once(path: Path, parsed: list[Path]) -> None:
    model = Model(path)
    assert parsed == []
    assert (model.precision, model.metadata["purpose"]) == ("fp32", "a test")
    assert [(entry.name, entry.shape[1:]) for entry in model.inputs] == [("images", (3, 5, 5))]
    assert model.graph_hash == model_hash(load_model(path))
    assert (model.sha256, model.n_bytes) == (sha256(path), path.stat().st_size)
    for name in ("onnxruntime", "fake"):
        load(name).compile(model, CompileSpec(batch=2)).close()
    assert parsed == [path]


def test_values_stay_after_the_graph_is_released(path: Path, parsed: list[Path]) -> None:
    model = Model(path)
    precision = model.precision
    model.release()
    assert (model.precision, parsed) == (precision, [path])
    assert model.proto.graph.node[0].op_type == "Conv"
    assert parsed == [path, path]


def test_as_model_keeps_a_model(path: Path) -> None:
    model = Model(path)
    assert as_model(model) is model
    assert as_model(path) == model


def test_an_invalid_file_is_reported_when_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(NotOnnx, match=r"text\.onnx is not a valid ONNX file"):
        _ = Model(tmp_path / "text.onnx").precision


def test_a_wrong_precision_is_reported(path: Path) -> None:
    with pytest.raises(WrongPrecision, match="computes in fp32, not in int8"):
        load("onnxruntime").compile(Model(path), CompileSpec(batch=1, precision="int8"))
