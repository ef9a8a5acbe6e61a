"""Sessions that are many in a process, and providers that are not here."""

import ctypes
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from exporters.agent.session import IN_USE, session_options
from exporters.backends import CompileSpec
from exporters.backends.onnxruntime import CUDA, TENSORRT, Backend
from exporters.cuda import onnxruntime_gpu as ours
from exporters.cuda.provider_library import installed_version
from exporters.errors import BackendUnavailable, WrongPrecision
from exporters.graph.interface import INPUT, OUTPUT
from exporters.graph.to_onnx import export_onnx


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "net.onnx"
    export_onnx(nn.Conv2d(3, 4, 3), torch.zeros(2, 3, 6, 6), path)
    return path


def test_threads_are_those_of_the_spec(file: Path) -> None:
    options = session_options(threads=2)
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (2, 1)
    session = Backend().compile(file, CompileSpec(batch=1, threads=2))
    assert session.time(1.0).calls >= 3


def test_sessions_share_memory_and_do_not_touch_each_other(file: Path) -> None:
    sessions = [Backend().compile(file, CompileSpec(batch)) for batch in (1, 8, 2)]
    images = np.ones((4, 3, 6, 6), np.float32)
    before = [session.run({INPUT: images})["logits"].copy() for session in sessions]
    sessions[0].close()
    sessions[1].time(1.0)
    np.testing.assert_array_equal(sessions[2].run({INPUT: images})["logits"], before[0])


def test_a_closed_session_says_so(file: Path) -> None:
    session = Backend().compile(file, CompileSpec(batch=1))
    session.close()
    with pytest.raises(ValueError, match=r"was closed\. Compile the file again"):
        session.time(1.0)


def test_a_file_of_another_precision_is_refused(file: Path) -> None:
    with pytest.raises(WrongPrecision, match=r"net\.onnx computes in fp32, not in int8"):
        Backend().compile(file, CompileSpec(batch=1, precision="int8"))


def test_files_of_16_bits_run_as_they_are(file: Path, tmp_path: Path) -> None:
    half = tmp_path / "half.onnx"
    onnx.save(to_fp16(onnx.load(file)), half)
    session = Backend().compile(half, CompileSpec(batch=2, precision="fp16"))
    assert session.time(1.0).calls >= 3
    images = np.linspace(-1, 1, 2 * 3 * 36, dtype=np.float32).reshape(2, 3, 6, 6)
    outputs = session.run({INPUT: images})[OUTPUT]
    assert outputs.dtype == np.float32
    exact = Backend().compile(file, CompileSpec(batch=2)).run({INPUT: images})[OUTPUT]
    np.testing.assert_allclose(outputs, exact, atol=2e-3)  # 11 bits of significand, 27 products that add up to about 1


def to_fp16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Weights, inputs and outputs of 16 bits."""
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            values = numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    del model.graph.value_info[:]
    return model


def test_sessions_share_the_images_that_they_read(file: Path) -> None:
    sessions = [Backend().compile(file, CompileSpec(batch)) for batch in (4, 4, 5)]
    one, same, other = (session._inputs[0] for session in sessions)
    assert one is same
    assert one is not other
    del one, same, other
    for session in sessions:
        session.close()
    assert not IN_USE


def without_driver(name: str) -> None:
    raise OSError(f"{name}: cannot open shared object file")


@pytest.mark.parametrize("provider", [CUDA, TENSORRT])
def test_no_gpu_is_no_silent_cpu(provider: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: [provider])
    monkeypatch.setattr(ctypes, "CDLL", without_driver)
    with pytest.raises(BackendUnavailable, match=f"{provider} cannot run .* no NVIDIA driver on this machine"):
        Backend(provider).compile(file, CompileSpec(batch=1))


@pytest.mark.parametrize("provider", [CUDA, TENSORRT])
def test_libraries_that_do_not_load_are_named_and_nothing_is_printed(
    provider: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if ours._has_nvidia_driver():
        pytest.skip("this machine has an NVIDIA driver")
    if provider not in ort.get_available_providers():
        pytest.skip(f"this build of onnxruntime has no {provider}")
    monkeypatch.setattr(ours, "_has_nvidia_driver", lambda: True)
    reason = Backend(provider).unavailable_reason()
    assert reason is not None
    if provider == TENSORRT and installed_version() is None:
        assert f"cannot load {provider}: it needs libnvinfer.so." in reason
    else:
        assert f"cannot load {provider}. Install CUDA" in reason
    assert capfd.readouterr() == ("", "")


def test_a_provider_that_the_wheel_lacks_is_named() -> None:
    assert Backend("NoSuchProvider").unavailable_reason() == (
        "this build of onnxruntime has no NoSuchProvider. Run pip install onnxruntime-gpu"
    )


def test_a_clip_of_an_early_opset_has_its_bounds_as_attributes(tmp_path: Path) -> None:
    """As in MobileNet v2 files of opset 10; only the second input of a QuantizeLinear is a scale."""
    image = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [1, 3])
    logits = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [1, 3])
    graph = helper.make_graph([helper.make_node("Clip", [INPUT], [OUTPUT], min=0.0, max=6.0)], "net", [image], [logits])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 10)], ir_version=5)
    onnx.save(model, tmp_path / "clip.onnx")
    session = Backend().compile(tmp_path / "clip.onnx", CompileSpec(1))
    assert session.run({INPUT: np.array([[-1, 3, 9]], np.float32)})[OUTPUT].tolist() == [[0, 3, 6]]
