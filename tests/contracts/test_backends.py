"""What holds for every backend; the folder is the list."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from exporters import backends
from exporters.backends import Backend, CompileSpec, roofline
from exporters.errors import BackendUnavailable, NotOnnx, UnknownBackend
from exporters.graph.interface import INPUT, OUTPUT
from exporters.graph.to_onnx import export_onnx


def load(name: str) -> Backend:
    """By its name; the one that estimates a device, with that device's rates."""
    return roofline.Backend(roofline.Rates(2e12, 2e11)) if name == "roofline" else backends.load(name)


ON_GPUS = {"onnxruntime_tensorrt", "tensorrt", "tensorrt_rtx"}


@pytest.fixture(
    params=[pytest.param(name, marks=pytest.mark.gpu if name in ON_GPUS else ()) for name in backends.names()]
)
def backend(request: pytest.FixtureRequest) -> Backend:
    loaded = load(request.param)
    if reason := loaded.unavailable_reason():
        pytest.skip(reason)
    return loaded


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    ).eval()


@pytest.fixture(scope="module")
def file(network: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "network.onnx"
    export_onnx(network, torch.zeros(2, 3, 20, 20), path)
    return path


@pytest.mark.parametrize("batch", [1, 2, 4, 32])
def test_computes_what_torch_does(backend: Backend, network: nn.Module, file: Path, batch: int) -> None:
    compiled = backend.compile(file, CompileSpec(batch=8))
    x = torch.randn(batch, 3, 20, 20, generator=torch.Generator().manual_seed(2))
    outputs = compiled.run({INPUT: x.numpy()})[OUTPUT]
    with torch.no_grad():
        # float32 in another order
        np.testing.assert_allclose(outputs, network(x).numpy(), rtol=1e-4, atol=1e-6)
    compiled.close()


def test_times_its_calls(backend: Backend, file: Path) -> None:
    compiled = backend.compile(file, CompileSpec(batch=8))
    timing = compiled.time(min_ms=2.0)
    compiled.close()
    assert timing.calls >= 1
    assert 0 < timing.wall_ms_min <= timing.wall_ms_median
    assert 0 < timing.busy_ms_min <= timing.busy_ms_median


def test_says_what_it_is(backend: Backend) -> None:
    assert backend.name in backends.names()
    assert backend.version()
    assert backend.provider


def test_refuses_what_is_no_onnx(backend: Backend, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a network")
    for path in (broken, tmp_path / "missing.onnx"):
        with pytest.raises(NotOnnx, match=path.name):
            backend.compile(path, CompileSpec(batch=1))


@pytest.mark.parametrize("name", backends.names())
def test_where_it_can_not_run_it_refuses_with_its_reason(name: str, file: Path) -> None:
    loaded = load(name)
    reason = loaded.unavailable_reason()
    if reason is None:
        pytest.skip("it runs here")
    with pytest.raises(BackendUnavailable) as refused:
        loaded.compile(file, CompileSpec(batch=8))
    assert reason in str(refused.value)
    assert refused.value.exit_code == 5


@pytest.mark.parametrize("name", backends.names())
def test_says_in_words_whether_it_runs_here(name: str) -> None:
    reason = backends.load(name).unavailable_reason()
    assert reason is None or len(reason.split()) > 3


def test_a_closed_file_gives_no_more_figures(backend: Backend, file: Path) -> None:
    compiled = backend.compile(file, CompileSpec(batch=1))
    compiled.close()
    with pytest.raises(ValueError, match="closed"):
        compiled.run({INPUT: np.zeros((1, 3, 20, 20), np.float32)})


def test_an_unknown_backend_is_named() -> None:
    known = ", ".join(backends.names())
    with pytest.raises(UnknownBackend, match=f"unknown backend 'tensorflow'\\. Known backends: {known}"):
        backends.load("tensorflow")


def test_settings_are_for_a_backend_that_takes_them() -> None:
    with pytest.raises(UnknownBackend, match="the backend onnxruntime takes no settings \\(given: 'noise=1'\\)"):
        backends.load("onnxruntime:noise=1")


def test_the_folder_is_the_list() -> None:
    folder = Path(str(backends.__file__)).parent
    assert set(backends.names()) == {file.stem for file in folder.glob("*.py")} - {"__init__"}
