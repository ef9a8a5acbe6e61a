"""Engines, built for GPUs that are not here, and what is said of those that cannot be."""

from pathlib import Path

import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from exporters.backends import CompileSpec
from exporters.backends.tensorrt import Backend, source_of
from exporters.cuda.builder import REMEDIES, build_engine, builder_config
from exporters.cuda.engine import BatchRange, Engine
from exporters.cuda.features import CAPABILITIES, features_of_module, parse_capability, suffix_of
from exporters.cuda.trt_logger import logger_of
from exporters.errors import BackendUnavailable, EngineFailed, NotOnnx, WrongPrecision
from exporters.graph.model import Model
from exporters.graph.to_onnx import export_onnx

trt = pytest.importorskip("tensorrt_rtx")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "net.onnx"
    net = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 1))
    export_onnx(net.eval(), torch.zeros(2, 3, 12, 12), path)
    return path


def built(file: Path, capability: str = "8.6", batch: BatchRange | None = None) -> Engine:
    return build_engine(trt, source_of(Model(file), features_of_module(trt)), batch or BatchRange.static(4), capability)


def test_the_same_file_gives_the_same_bytes(file: Path) -> None:
    first, second = built(file), built(file)
    assert first.plan == second.plan
    assert (first.sha256, first.capability) == (second.sha256, "8.6")
    assert first.built_by == f"tensorrt_rtx {trt.__version__}"


@pytest.mark.parametrize("capability", ["8.6", "8.9", "12.0", "12.1"])
def test_builds_for_a_gpu_that_is_not_here(file: Path, capability: str) -> None:
    assert len(built(file, capability).plan) > 10_000


def test_float32_is_not_computed_in_tf32() -> None:
    """TF32 has 10 bits of mantissa, and builders use it by default."""
    builder = trt.Builder(logger_of(trt))
    assert builder.create_builder_config().get_flag(trt.BuilderFlag.TF32)
    assert not builder_config(trt, builder, "8.6").get_flag(trt.BuilderFlag.TF32)


def test_a_dynamic_batch_is_another_engine(file: Path) -> None:
    dynamic = built(file, batch=BatchRange(1, 8, 32))
    assert dynamic.plan != built(file, batch=BatchRange.static(8)).plan


@pytest.mark.parametrize("batches", [(0, 1, 2), (4, 2, 8), (1, 9, 8)])
def test_batches_out_of_order_are_refused(batches: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="batches must be 0 < least <= best <= most"):
        BatchRange(*batches)


def test_an_engine_file_holds_only_the_plan(file: Path, tmp_path: Path) -> None:
    engine = built(file)
    path = tmp_path / "model.sm86.engine"
    engine.save(path)
    assert path.read_bytes() == engine.plan


@pytest.mark.parametrize(
    ("text", "capability"), [("86", "8.6"), ("8.6", "8.6"), ("sm120", "12.0"), ("SM75", "7.5"), ("121", "12.1")]
)
def test_capabilities_as_people_write_them(text: str, capability: str) -> None:
    assert parse_capability(text) == capability


@pytest.mark.parametrize("text", ["61", "9.0", "", "ampere", "6"])
def test_a_capability_that_nothing_is_built_for(text: str) -> None:
    with pytest.raises(EngineFailed, match=r"no engines for the compute capability .* Use one of 75 \(GeForce RTX 20"):
        parse_capability(text)


def test_the_capabilities_are_those_of_the_module() -> None:
    members = set(trt.ComputeCapability.__members__) - {"NONE", "CURRENT"}
    assert members == {suffix_of(capability).upper() for capability in CAPABILITIES}


def test_no_gpu_is_no_engine_for_this_machine(file: Path) -> None:
    if Backend("tensorrt_rtx").unavailable_reason() is None:
        pytest.skip("there is a GPU here")
    with pytest.raises(EngineFailed, match=r"cannot build net.onnx for this machine's GPU: .*cudaError.* --sm 86"):
        built(file, "current")


def test_what_a_gpu_can_not_do_has_a_remedy(tmp_path: Path) -> None:
    file = tmp_path / "linear.onnx"
    export_onnx(nn.Linear(8, 4), torch.zeros(2, 8), file)
    with pytest.raises(EngineFailed, match=r"linear.onnx for compute capability 7.5: .*FP32 GEMM.* --precision fp16"):
        built(file, "7.5")


def test_a_node_that_the_parser_does_not_know_is_named(tmp_path: Path) -> None:
    file = tmp_path / "odd.onnx"
    images, logits = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 3]) for n in ("images", "logits"))
    node = helper.make_node("Twist", ["images"], ["logits"], name="the_odd_one", domain="mine")
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("mine", 1)]
    onnx.save(helper.make_model(helper.make_graph([node], "g", [images], [logits]), opset_imports=opsets), file)
    with pytest.raises(
        EngineFailed, match=r"does not support the node the_odd_one \(Twist\) of odd.onnx: .*onnxruntime"
    ):
        built(file)


def test_what_is_no_onnx(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a network")
    for path in (broken, tmp_path / "missing.onnx"):
        with pytest.raises(NotOnnx, match=path.name):
            built(path)


def test_a_refused_build_leaves_nothing_for_the_next(tmp_path: Path) -> None:
    """TensorRT-RTX 1.7.1 would put code for every GPU into the next plan, with another hash."""
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))
    file = tmp_path / "net.onnx"
    export_onnx(net.eval(), torch.zeros(2, 3, 12, 12), file)
    first = built(file)
    with pytest.raises(EngineFailed):
        built(file, "7.5")
    assert len(built(file).plan) == len(first.plan)
    assert built(file).sha256 == first.sha256


def test_errors_of_one_build_do_not_appear_in_the_next(file: Path, tmp_path: Path) -> None:
    linear = tmp_path / "linear.onnx"
    export_onnx(nn.Linear(8, 4), torch.zeros(2, 8), linear)
    with pytest.raises(EngineFailed):
        built(linear, "7.5")
    built(file)
    assert logger_of(trt).errors == []


def test_every_remedy_is_an_instruction() -> None:
    assert all(any(word in text for word in ("Use ", "Give ", "Build ")) for text in REMEDIES.values())


def test_a_file_of_another_precision_is_refused(file: Path) -> None:
    with pytest.raises(WrongPrecision, match=r"net.onnx computes in fp32, not in fp16"):
        Backend("tensorrt_rtx").build(file, CompileSpec(batch=4, precision="fp16"), "8.6")


def test_the_backend_builds_as_well(file: Path) -> None:
    backend = Backend("tensorrt_rtx")
    engine = backend.build(file, CompileSpec(batch=4, batches=(1, 4, 8)), "8.9")
    assert (engine.capability, suffix_of(engine.capability)) == ("8.9", "sm89")


def test_without_a_gpu_nothing_runs_and_the_error_has_the_reason(file: Path, tmp_path: Path) -> None:
    backend = Backend("tensorrt_rtx")
    if backend.unavailable_reason() is None:
        pytest.skip("there is a GPU here")
    assert backend.build_unavailable_reason() is None
    with pytest.raises(BackendUnavailable, match=r"cannot run net.onnx here: there is no NVIDIA GPU with its driver"):
        backend.compile(file, CompileSpec(batch=4))
    with pytest.raises(EngineFailed, match=r"gone.engine does not exist. Run nastool export --engine"):
        backend.compile(tmp_path / "gone.engine", CompileSpec(batch=4))


def test_the_classic_module_cannot_build_for_another_gpu() -> None:
    if Backend().build_unavailable_reason() is None:
        pytest.skip("TensorRT is here")
    reason = Backend().build_unavailable_reason()
    assert reason is not None
    assert reason.startswith(("tensorrt is not installed. Run pip install tensorrt", "there is no NVIDIA GPU"))
