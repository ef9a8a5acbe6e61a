"""Every part of every space, and published networks whole, build into engines for GPUs that aren't here.

TensorRT-RTX parses what TensorRT parses and computes in the same strong types; only the machine code is left out.
"""

from collections.abc import Iterable
from pathlib import Path

import pytest

from exporters.backends import CompileSpec
from exporters.backends.tensorrt import Backend
from exporters.cuda.features import CAPABILITIES
from exporters.errors import EngineFailed
from exporters.graph.model import Model
from toolchain.measuring.export_for_timing import export_for_timing
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.network import Network
from toolchain.nets.published import PUBLISHED
from toolchain.profiling.variants import Variant, variants
from toolchain.spaces import PRESETS, load_space

trt = pytest.importorskip("tensorrt_rtx")

QUICK = "shufflenet_v2_quick"
FAMILIES = {  # parts of one key are one part, whichever space they are in
    "shufflenet_v2": ("shufflenet_v2", "shufflenet_v2_channels", "shufflenet_v2_joint", QUICK),
    "proxyless": ("proxyless", "proxyless_mobile", "proxyless_gpu"),
    "fbnet": ("fbnet",),
    "resnet": ("resnet18_bits:bits=float", "resnet34_bits:bits=float"),
}
BATCH = 32


def build(file: Path, capability: str) -> bytes:
    spec = CompileSpec(BATCH, precision=Model(file).precision)
    return Backend("tensorrt_rtx").build(file, spec, capability).plan


def build_all(parts: Iterable[Variant], precision: str, folder: Path) -> None:
    refused = []
    for part in parts:
        file = folder / "part.onnx"
        export_for_timing(part.build(), part.input_shape, file, precision)
        try:
            assert build(file, "8.6"), part.key
        except EngineFailed as problem:
            refused.append(f"{part.key}: {problem}")
    assert refused == []


@pytest.mark.parametrize(
    "precision", ["fp32", *(pytest.param(name, marks=pytest.mark.long) for name in ("fp16", "int8_fp16"))]
)
def test_some_parts_of_the_quick_space(precision: str, tmp_path: Path) -> None:
    build_all(variants(load_space(QUICK))[::4], precision, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize(("precision", "step"), [("fp32", 5), ("fp16", 25)])
@pytest.mark.parametrize("family", FAMILIES)
def test_parts_of_every_space(family: str, precision: str, step: int, tmp_path: Path) -> None:
    """Every fifth part, whose order mixes ops, widths and stages: all of them take a quarter of an hour.

    In fp16 fewer: precisions differ in the casts round a part, not in its operators.
    """
    parts = {part.key: part for name in FAMILIES[family] for part in variants(load_space(name))}
    build_all(list(parts.values())[::step], precision, tmp_path)


def test_no_space_is_left_out() -> None:
    listed = {name.partition(":")[0] for names in FAMILIES.values() for name in names}
    assert listed == set(PRESETS)


@pytest.mark.long
@pytest.mark.parametrize("name", ["fbnet_a", "proxyless_gpu", "spos_blocks", "spos_channels"])
def test_whole_networks_for_every_gpu(name: str, tmp_path: Path) -> None:
    """Twice each: the same file gives the same bytes. SM80's plans of 600 MB are left to fp16."""
    space = load_space(PUBLISHED[name].space)
    network = Network(space, space.architecture(PUBLISHED[name].architecture), STANDALONE)
    for precision in ("fp32", "fp16"):
        file = tmp_path / f"{precision}.onnx"
        export_for_timing(network, space.input_shape, file, precision)
        for capability in CAPABILITIES:
            if (capability, precision) == ("8.0", "fp32"):
                continue
            if (capability, precision) == ("7.5", "fp32"):
                with pytest.raises(EngineFailed, match=r"FP32 GEMM is not supported.*Use --precision fp16"):
                    build(file, capability)
                continue
            plan = build(file, capability)
            if capability in ("8.6", "12.1"):
                assert build(file, capability) == plan
