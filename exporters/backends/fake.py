"""A device whose latency is known: for trying a whole run without measuring, and for tests.

A call costs what its graph says: multiply-adds times a rate, plus something for each node. Networks with many
convolutions can be made slower than the sum of their parts, as real ones are. What it computes is real: outputs
come from ONNX Runtime.
"""

from pathlib import Path

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


class Backend:
    """Deterministic latency; `scale_whole` is how much slower whole networks are than their parts."""

    name = "fake"
    provider = "deterministic"

    def __init__(self, scale_whole: float = 1.0) -> None:
        self._scale_whole = scale_whole

    def why_not(self) -> str | None:
        return None

    def version(self) -> str:
        return "1"

    def compile(self, onnx: Path, spec: CompileSpec) -> "FakeSession":
        return FakeSession(OnnxRuntime().compile(onnx, spec), latency_ns(onnx, spec.batch, self._scale_whole))


class FakeSession:
    """A loaded file that says how long a call takes."""

    def __init__(self, session: Session, call_ns: float) -> None:
        self._session = session
        self.call_ns = call_ns

    def run(self, feeds: Arrays) -> dict[str, NDArray[np.float32]]:
        return self._session.run(feeds)

    def time(self, min_ms: float) -> Timing:
        ms = self.call_ns / 1e6
        return Timing(calls=1, wall_ms_min=ms, wall_ms_median=ms, cpu_ms_min=ms, cpu_ms_median=ms)

    def close(self) -> None:
        self._session.close()


def latency_ns(path: Path, batch: int, scale_whole: float) -> float:
    """What one call of the file costs on this device, in nanoseconds."""
    graph = onnx.shape_inference.infer_shapes(load_model(path)).graph
    shapes = {v.name: [d.dim_value or batch for d in v.type.tensor_type.shape.dim] for v in graph.value_info}
    shapes |= {v.name: [d.dim_value or batch for d in v.type.tensor_type.shape.dim] for v in graph.output}
    weights = {w.name: list(w.dims) for w in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    macs = sum(
        float(np.prod(shapes[node.output[0]])) * float(np.prod(weights[node.input[1]][1:])) for node in convolutions
    )
    whole = scale_whole if len(convolutions) >= WHOLE_NETWORK_CONVOLUTIONS else 1.0
    return whole * (macs * NS_PER_MAC + len(graph.node) * NS_PER_NODE)
