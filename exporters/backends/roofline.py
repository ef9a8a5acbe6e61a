"""Latency estimates for a device that is not attached: each kernel takes flops / F + bytes / W.

F and W are the rates that a device reached on measured networks, not its peak rates; they are arguments. The two times
are added, which fits the five networks of the paper's Table 5 better than their maximum (within 6 % against 7 %).
Outputs are real: ONNX Runtime computes them on this CPU.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exporters.backends import Arrays, Compiled, CompileSpec
from exporters.errors import BackendUnavailable
from exporters.graph.kernels import kernels_of
from exporters.graph.model import Model, as_model
from exporters.timing import Timing

MIN_MS = 1e-6  # latency of a graph without kernels, e.g. a skip: callers divide by latencies
VERSION = "1"  # version of the formula and of the fusions in exporters/graph/kernels.py


@dataclass(frozen=True)
class Rates:
    """The rates of a device in one precision: floating-point operations and bytes per second."""

    flops_per_s: float
    bytes_per_s: float
    precision: str = "fp32"


class Backend:
    """Estimates latencies from the graph.

    Args:
        rates: the rates of the device; None if there is no device to estimate.
    """

    name = "roofline"

    def __init__(self, rates: Rates | None = None) -> None:
        self._rates = rates

    @property
    def provider(self) -> str:
        """The rates; estimates with different rates have different targets."""
        if self._rates is None:
            return "no device"
        return f"estimate, {self._rates.flops_per_s:.4g} FLOP/s, {self._rates.bytes_per_s:.4g} B/s"

    def unavailable_reason(self) -> str | None:
        if self._rates is None:
            return "it estimates latency for a device that is not attached. Give --device titanxp --estimate"
        return None

    def version(self) -> str:
        return VERSION

    def compile(self, onnx: Path | Model, spec: CompileSpec) -> "Estimate":
        if self._rates is None:
            raise BackendUnavailable(
                f"roofline cannot estimate {as_model(onnx).path.name}: {self.unavailable_reason()}"
            )
        if spec.precision != self._rates.precision:
            raise BackendUnavailable(
                f"the rates of this device are known in {self._rates.precision}, not in {spec.precision}. "
                f"Give --precision {self._rates.precision}"
            )
        return Estimate(onnx, spec, estimate_ms(onnx, spec.batch, self._rates))


class Estimate:
    """A file with its estimated latency. It is loaded when it is first run."""

    def __init__(self, onnx: Path | Model, spec: CompileSpec, call_ms: float) -> None:
        self._onnx = onnx
        self._spec = spec
        self._call_ms = call_ms
        self._session: Compiled | None = None
        self._closed = False

    def run(self, feeds: Arrays) -> dict[str, NDArray[np.float32]]:
        if self._closed:
            raise ValueError("this estimate was closed. Compile the file again")
        if self._session is None:
            from exporters.backends.onnxruntime import Backend as OnnxRuntime

            self._session = OnnxRuntime().compile(self._onnx, CompileSpec(self._spec.batch, self._spec.threads))
        return self._session.run(feeds)

    def time(self, min_ms: float) -> Timing:
        """Return the estimate; nothing is measured."""
        ms = max(self._call_ms, MIN_MS)
        return Timing(1, ms, ms, ms, ms, (ms,))

    def close(self) -> None:
        self._closed = True
        if self._session is not None:
            self._session.close()


def estimate_ms(file: Path | Model, batch: int, rates: Rates) -> float:
    """The estimated latency of a call of the file on `batch` images, in ms.

    Raises:
        NotOnnx: the file cannot be read, or a shape in it is unknown.
    """
    kernels = kernels_of(as_model(file).proto, batch)
    return sum(1e3 * (k.flops / rates.flops_per_s + k.n_bytes / rates.bytes_per_s) for k in kernels)
