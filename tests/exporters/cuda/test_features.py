"""What each version of TensorRT can do, and what is said where it cannot run."""

from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save_model

from exporters.backends import CompileSpec
from exporters.backends.tensorrt import Backend
from exporters.cuda import memory, nvml, weak_types
from exporters.cuda.features import features_of, install_hint, refusal
from exporters.errors import BackendUnavailable


@pytest.mark.parametrize(
    ("module", "version", "runs", "refused"),
    [
        ("tensorrt", "8.6.1", ("6.0", "6.1", "7.0", "7.2", "7.5", "9.0", ""), ("5.2", "10.0", "12.0")),
        ("tensorrt", "10.4.0", ("7.0", "9.0"), ("6.1", "12.0")),
        ("tensorrt", "10.5.0", ("7.5", "9.0"), ("7.0", "10.0")),
        ("tensorrt", "10.13.3.9", ("7.5", "10.0", "12.0"), ("7.2",)),
        ("tensorrt", "11.4.0.106", ("7.5", "9.0", "12.1"), ("6.1", "7.0")),
        ("tensorrt_rtx", "1.7.1.116", ("7.5", "8.6", "12.0"), ("6.1", "8.7", "9.0", "10.0")),
    ],
)
def test_gpus_of_a_version(module: str, version: str, runs: tuple[str, ...], refused: tuple[str, ...]) -> None:
    row = features_of(module, version)
    assert [capability for capability in (*runs, *refused) if row.runs_on(capability)] == list(runs)


def test_only_8_6_is_weakly_typed() -> None:
    old, new = features_of("tensorrt", "8.6.1"), features_of("tensorrt", "11.4.0.106")
    assert (old.network_flag, old.opset, old.computes("int8", "7.0")) == ("EXPLICIT_BATCH", 17, False)
    assert (new.network_flag, new.opset, new.computes("int8", "7.5")) == ("STRONGLY_TYPED", None, True)
    assert not old.computes("fp16", "6.1"), "support matrix of 8.6.1: P4, fp16: no"
    assert old.computes("fp16", "6.0")


@pytest.mark.parametrize("version", ["8.5.3", "9.2.0", "7", "unknown"])
def test_versions_that_are_not_driven(version: str) -> None:
    with pytest.raises(BackendUnavailable, match=rf"tensorrt {version} cannot be used: nastool drives TensorRT 8\.6"):
        features_of("tensorrt", version)


REFUSALS = {
    "titanxp": (
        ("tensorrt", "11.4.0.106", "NVIDIA TITAN Xp", "6.1"),
        "NVIDIA TITAN Xp has compute capability 6.1, and tensorrt 11.4.0.106 runs on 7.5 and later. Install TensorRT "
        "8.6 (pip install tensorrt==8.6.1, in Python 3.11 and with driver 580 or older), or use --backend onnxruntime, "
        "in a build of onnxruntime-gpu for CUDA 12: CUDA 13 does not support this GPU",
    ),
    "v100": (
        ("tensorrt", "10.13.3.9", "Tesla V100", "7.0"),
        "Tesla V100 has compute capability 7.0, and tensorrt 10.13.3.9 runs on 7.5 and later. Install TensorRT 10.4 "
        "(pip install tensorrt-cu12==10.4.0, with driver 580 or older), or use --backend onnxruntime, in a build of "
        "onnxruntime-gpu for CUDA 12: CUDA 13 does not support this GPU",
    ),
    "h200": (
        ("tensorrt_rtx", "1.7.1.116", "NVIDIA H200", "9.0"),
        "NVIDIA H200 has compute capability 9.0, and tensorrt_rtx 1.7.1.116 has targets for 7.5, 8.0, 8.6, 8.9, 12.0 "
        "and 12.1 only. Use --backend tensorrt with a current TensorRT (pip install tensorrt), or "
        "--backend onnxruntime",
    ),
    "gtx780": (
        ("tensorrt", "8.6.1", "GeForce GTX 780", "3.5"),
        "GeForce GTX 780 has compute capability 3.5, and tensorrt 8.6.1 runs on 6.0 to 9.0. Use --backend onnxruntime, "
        "in a build of onnxruntime-gpu for CUDA 12: CUDA 13 does not support this GPU",
    ),
}


@pytest.mark.parametrize(("given", "message"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_names_the_gpu_the_version_and_what_to_install(given: tuple[str, ...], message: str) -> None:
    assert refusal(*given) == message


@pytest.mark.parametrize(("name", "capability"), [("NVIDIA B200", "10.0"), ("Orin", "8.7"), ("NVIDIA H200", "9.0")])
def test_gpus_without_a_target_of_tensorrt_rtx(name: str, capability: str) -> None:
    assert f"{name} has compute capability {capability}, and tensorrt_rtx" in str(
        refusal("tensorrt_rtx", "1.7.1.116", name, capability)
    )


TITAN_XP = nvml.Gpu(0, "NVIDIA TITAN Xp", "GPU-1", "0000:01:00.0", "6.1", "580.65, CUDA 12.9", 12 << 30)


@pytest.fixture
def titan_xp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvml, "gpus", lambda: (TITAN_XP,))
    monkeypatch.setattr(memory, "unavailable_reason", lambda gpu: None)
    monkeypatch.setattr(memory, "bus_ids", lambda: ("0000:01:00.0",))


def install(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    """A module `tensorrt` of this version, which is asked for nothing else."""
    module = ModuleType("tensorrt")
    module.__version__ = version  # type: ignore[attr-defined]
    monkeypatch.setattr("exporters.cuda.tensorrt_runtime.find_spec", lambda name: name)
    monkeypatch.setattr("exporters.cuda.tensorrt_runtime.import_module", lambda name: module)


@pytest.mark.usefixtures("titan_xp")
def test_a_titan_xp_runs_with_tensorrt_8_6(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "8.6.1")
    assert Backend().unavailable_reason() is None
    install(monkeypatch, "11.4.0.106")
    assert Backend().unavailable_reason() == REFUSALS["titanxp"][1]
    install(monkeypatch, "8.4.3")
    assert "tensorrt 8.4.3 cannot be used" in str(Backend().unavailable_reason())


@pytest.mark.usefixtures("titan_xp")
def test_without_tensorrt_a_titan_xp_is_told_which_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporters.cuda.tensorrt_runtime.find_spec", lambda name: None)
    assert Backend().unavailable_reason() == (
        "tensorrt is not installed. Run pip install tensorrt==8.6.1, in Python 3.11 and with driver 580 or older: "
        "TensorRT 8.6 is the last version for compute capability 6.1. Or use --backend onnxruntime, in a build of "
        "onnxruntime-gpu for CUDA 12: CUDA 13 does not support this GPU"
    )


def half_file(path: Path) -> Path:
    """y = x * w in float16."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT16, ["n", 2]) for name in ("images", "logits"))
    weight = numpy_helper.from_array(np.ones((2, 2), np.float16), "w")
    graph = helper.make_graph([helper.make_node("MatMul", ["images", "w"], ["logits"])], "half", [x], [y], [weight])
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.usefixtures("titan_xp")
def test_fp16_is_refused_where_there_are_no_kernels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, "8.6.1")
    message = r"tensorrt 8.6.1 has no fp16 kernels on compute capability 6.1, so half.onnx .* Use --precision fp32"
    with pytest.raises(BackendUnavailable, match=message):
        Backend().build(half_file(tmp_path / "half.onnx"), CompileSpec(4, precision="fp16"))


@pytest.mark.parametrize("module", ["tensorrt", "tensorrt_rtx"])
@pytest.mark.parametrize("capability", ["", "5.2", "6.1", "7.0", "7.2", "8.6"])
def test_every_hint_is_a_command_or_another_backend(module: str, capability: str) -> None:
    assert install_hint(module, capability).startswith(("run pip install tensorrt", "use --backend onnxruntime: "))


class Layer:
    """A layer of a parsed network that records what is requested."""

    num_outputs = 1

    def __init__(self, kind: str, dtype: str) -> None:
        self.type, self.dtype, self.precision, self.output_type = kind, dtype, "", ""

    def get_output(self, position: int) -> "Layer":
        return self

    def set_output_type(self, position: int, dtype: str) -> None:
        self.output_type = dtype


def test_fp16_by_builder_flags_is_requested_of_each_computing_layer() -> None:
    kinds = ("CAST", "CONVOLUTION", "SHAPE", "CONSTANT", "ACTIVATION", "SLICE", "CAST")
    layers = [Layer(kind, "int32" if kind == "SHAPE" else "float32") for kind in kinds]
    layers.append(Layer("GATHER", "int32"))
    trt: Any = SimpleNamespace(
        BuilderFlag=SimpleNamespace(FP16="fp16", OBEY_PRECISION_CONSTRAINTS="obey"),
        LayerType=SimpleNamespace(__members__={kind: kind for kind in (*kinds, "IDENTITY")}),
        float32="float32",
        float16="float16",
    )
    network, flags = SimpleNamespace(num_layers=len(layers), get_layer=layers.__getitem__), []
    config = SimpleNamespace(set_flag=flags.append)
    weak_types.request(trt, network, config, "fp32")
    assert flags == [], "fp32 is what the builder computes by default"
    weak_types.request(trt, network, config, "fp16")
    assert flags == ["fp16", "obey"]
    requested = [layer.type for layer in layers if (layer.precision, layer.output_type) == ("float16", "float16")]
    assert requested == ["CONVOLUTION", "ACTIVATION", "SLICE"]
