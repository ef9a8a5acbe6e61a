"""Item of the GPU report: engines of TensorRT or TensorRT-RTX, built, run, compared with torch and timed.

    python benchmarks/gpu_engines.py tensorrt
    python benchmarks/gpu_engines.py tensorrt_rtx

A network of the paper's space at batch 32, in fp32, fp16, and int8 with fp16 for the rest. Without a GPU for it,
TensorRT-RTX builds an engine for compute capability 8.6, which is not run.
"""

import argparse
import time
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import numpy as np
import torch
from gpu_items import answer, cannot

from exporters.backends import CompileSpec
from exporters.backends.tensorrt import Backend
from exporters.errors import ExporterError
from exporters.graph.interface import INPUT, OUTPUT
from toolchain.measuring.export_for_timing import export_for_timing
from toolchain.measuring.space_precision import form_of
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.network import Network, initialize
from toolchain.spaces import load_space

BATCH = 32
ABSENT_GPU = "8.6"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("module", choices=["tensorrt", "tensorrt_rtx"])
    backend = Backend(parser.parse_args().module)
    why_not_built, why_not_run = backend.build_unavailable_reason(), backend.unavailable_reason()
    if why_not_built:
        cannot(why_not_built)
    space = load_space("shufflenet_v2")
    net = Network(space, space.draw(Random(0)), STANDALONE)
    initialize(net, torch.Generator().manual_seed(0))
    results: dict[str, object] = {"version": backend.version()}
    if why_not_run:
        results["not_run"] = why_not_run
    with TemporaryDirectory(prefix="nastool-gpu-") as folder:
        for precision in ("fp32", "fp16", "int8"):
            file = Path(folder) / f"{precision}.onnx"
            form = form_of(precision, backend.name)
            export_for_timing(net.eval(), space.input_shape, file, form)
            try:
                results[precision] = (
                    built(backend, file, precision) if why_not_run else ran(backend, net, file, precision)
                )
            except ExporterError as problem:
                results[precision] = {"failed": str(problem)}
    answer(results)


def built(backend: Backend, file: Path, precision: str) -> dict[str, object]:
    """The size of an engine for another GPU, and the seconds of its build."""
    began = time.perf_counter()
    engine = backend.build(file, CompileSpec(BATCH, precision=precision), ABSENT_GPU)
    build_s = round(time.perf_counter() - began, 1)
    return {
        "capability": ABSENT_GPU,
        "bytes": len(engine.plan),
        "build_s": build_s,
        "convolutions": dict(engine.convolutions),
    }


def ran(backend: Backend, net: Network, file: Path, precision: str) -> dict[str, object]:
    """The latency of an engine on this GPU, and the error of its logits relative to torch on the CPU."""
    began = time.perf_counter()
    compiled = backend.compile(file, CompileSpec(BATCH, precision=precision))
    build_s = round(time.perf_counter() - began, 1)
    images = torch.randn(BATCH, 3, 224, 224)
    with torch.no_grad():
        expected = net(images).numpy()
    outputs = compiled.run({INPUT: images.numpy()})[OUTPUT]
    timing = compiled.time(200.0)
    compiled.close()
    error = float(np.abs(outputs - expected).max() / np.abs(expected).max())
    return {
        "build_s": build_s,
        "latency_ms": timing.busy_ms_median,
        "relative_error": error,
        "noise": timing.noise_reason,
        "provider": backend.provider,
    }


if __name__ == "__main__":
    main()
