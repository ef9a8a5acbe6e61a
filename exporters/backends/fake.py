"""A device whose latency is known: for trying a whole run without measuring, and for tests, yours too.

A call costs what its graph says: multiply-adds times a rate, plus something for each node. Networks with many
convolutions can be made slower than the sum of their parts, as real ones are, and timings can be made to
scatter. What it computes is real: outputs come from ONNX Runtime.
"""

from math import prod
from pathlib import Path
from random import Random
from statistics import median

import numpy as np
import onnx
from numpy.typing import NDArray

from exporters.backends import Arrays, CompileSpec
from exporters.backends.onnxruntime import Backend as OnnxRuntime
from exporters.backends.onnxruntime import Session
from exporters.timing import Timing
from exporters.to_onnx import load_model

NS_PER_MAC = 0.05
NS_PER_NODE = 2_000.0
WHOLE_NETWORK_CONVOLUTIONS = 16  # a single choice block has fewer
CALLS = 5


class Backend:
    """Deterministic latency.

    Args:
        scale_whole: how much slower whole networks are than the sum of their parts.
        noise: how far calls are above the latency, as a share of it (scale of a half-normal distribution).
        seed: of the noise; the n-th timing of a compiled file is always the same.
    """

    name = "fake"
    provider = "deterministic"

    def __init__(self, scale_whole: float = 1.0, noise: float = 0.0, seed: int = 0) -> None:
        self._scale_whole = scale_whole
        self._noise = noise
        self._seed = seed

    def why_not(self) -> str | None:
        return None

    def version(self) -> str:
        return "1"

    def compile(self, onnx: Path, spec: CompileSpec) -> "FakeSession":
        session = OnnxRuntime().compile(onnx, spec)
        call_ms = latency_ms(onnx, spec.batch, self._scale_whole)
        return FakeSession(session, call_ms, self._noise, Random(f"{self._seed}:{call_ms}"))


class FakeSession:
    """A loaded file that says how long a call takes."""

    def __init__(self, session: Session, call_ms: float, noise: float, rng: Random) -> None:
        self._session = session
        self._call_ms = call_ms
        self._noise = noise
        self._rng = rng

    def run(self, feeds: Arrays) -> dict[str, NDArray[np.float32]]:
        return self._session.run(feeds)

    def time(self, min_ms: float) -> Timing:
        # what disturbs a call only ever makes it slower
        calls = [self._call_ms * (1 + self._noise * abs(self._rng.gauss(0, 1))) for _ in range(CALLS)]
        return Timing(CALLS, min(calls), median(calls), min(calls), median(calls))

    def close(self) -> None:
        self._session.close()


def latency_ms(path: Path, batch: int, scale_whole: float = 1.0) -> float:
    """What one call of the file on `batch` images costs on this device, in ms.

    Raises:
        NotOnnx: the file can't be read.
    """
    graph = onnx.shape_inference.infer_shapes(load_model(path)).graph
    weights = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.value_info, *graph.output)
    }
    macs, convolutions = 0, 0
    for node in graph.node:
        if node.op_type == "Conv":  # each output value sums over one filter
            convolutions += 1
            macs += batch * prod(shapes[node.output[0]][1:]) * prod(weights[node.input[1]][1:])
        elif node.op_type == "Gemm":  # each image meets every weight once
            macs += batch * prod(weights[node.input[1]])
    scale = scale_whole if convolutions >= WHOLE_NETWORK_CONVOLUTIONS else 1.0
    return scale * (macs * NS_PER_MAC + len(graph.node) * NS_PER_NODE) / 1e6
