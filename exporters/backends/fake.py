"""A simulated device with known latencies, for tests and for trying a run without measuring.

The latency of a call is computed from its graph: multiply-adds times a rate, plus a constant per node. Settings
simulate the defects of real devices; all are off by default:

    scale_whole     factor on the latency of whole networks relative to the sum of their variants (1.3: 30 % slower)
    noise           scale of half-normal noise that is added to each call, as a share of its latency
    drift           maximum share by which the device slows down and recovers, with the period `DRIFT_PERIOD_MS`
    burst           share of the time in which the device throttles, in intervals of `BURST_MS`
    burst_slower    factor on the latency of a throttled call
    burst_visible   1: the device reports throttling, as a GPU does; 0: it does not
    slowdown        share by which every file is slower (0.05: 5 %), to try out nastool check; engines keep the
                    slowdown of the device that built them, and have that of the device that runs them as well
    memory_mb       memory of the device in MiB, which loaded files share; 0: no limit
    seed            seed of all random numbers

The simulated clock only advances when something is timed, so a burst affects everything that is timed during it, and
the same calls in the same order have the same latencies. Outputs are real: ONNX Runtime computes them.
"""

from collections.abc import Callable
from dataclasses import asdict, fields, replace
from functools import partial
from math import isfinite, prod
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
from numpy import float32
from numpy.typing import NDArray

from exporters.agent.simulated import FakeSettings, SimulatedDevice
from exporters.backends import Arrays, Compiled, CompileSpec
from exporters.cuda.engine import CURRENT, Engine
from exporters.cuda.plans import SUFFIX, UNKNOWN, runtime_of
from exporters.errors import BackendUnavailable, EngineFailed, NotOnnx, UnknownBackend
from exporters.graph.model import Model, as_model, require_precision
from exporters.graph.operators import ROUNDING_OPS
from exporters.simulated_engine import SimulatedPlan
from exporters.timing import Timing

NS_PER_MAC = 0.05
NS_PER_NODE = 2_000.0
WHOLE_NETWORK_CONVOLUTIONS = 16  # a single choice block has fewer


class Backend:
    """A simulated device with its own clock. Its arguments are the settings."""

    name = "fake"
    provider = "deterministic"

    def __init__(
        self,
        scale_whole: float = 1.0,
        noise: float = 0.0,
        seed: int = 0,
        *,
        drift: float = 0.0,
        burst: float = 0.0,
        burst_slower: float = 2.0,
        burst_visible: float = 1.0,
        slowdown: float = 0.0,
        memory_mb: float = 0.0,
    ) -> None:
        self.settings = FakeSettings(
            scale_whole, noise, drift, burst, burst_slower, burst_visible, slowdown, memory_mb, seed
        )
        self._claimed_bytes = 0
        self.clock = SimulatedDevice(self.settings)

    def restarted(self) -> "Backend":
        """The same device with its clock reset."""
        return Backend(**asdict(self.settings))

    @property
    def memory_bytes(self) -> int | None:
        """The memory of the device, or None if it has no limit."""
        return int(self.settings.memory_mb * 2**20) or None

    def unavailable_reason(self) -> str | None:
        return None

    def version(self) -> str:
        """The version of the device model. Noise, drift and bursts are not part of its identity."""
        return "1" if self.settings.scale_whole == 1.0 else f"1 scale_whole={self.settings.scale_whole:g}"

    def compile(self, onnx: Path | Model, spec: CompileSpec) -> "FakeSession":
        model = as_model(onnx)
        if model.path.suffix == SUFFIX:
            return self._load(model.path, spec)
        session = self.simulate(latency_ms(model, spec.batch, self.settings.scale_whole), model, spec)
        return self._in_memory(session, model, spec.batch)

    def build_unavailable_reason(self) -> str | None:
        return None

    def build(self, onnx: Path | Model, spec: CompileSpec, capability: str = CURRENT) -> Engine:
        """An engine of this simulated device: the file itself, with the slowdown of this device.

        Raises:
            NotOnnx: the file cannot be read.
            WrongPrecision: the precision of the file differs from that of the spec.
            EngineFailed: it is requested for a GPU.
        """
        model = as_model(onnx)
        if capability != CURRENT:
            raise EngineFailed(f"the backend fake builds no engines for compute capability {capability}. Use --engine")
        require_precision(model, spec.precision)
        plan = SimulatedPlan(spec.batch_range, model.precision, self.settings.slowdown, model.proto.SerializeToString())
        return Engine(plan.to_bytes(), CURRENT, f"{self.name} {self.version()}")

    def plan_of(self, path: Path, spec: CompileSpec) -> SimulatedPlan:
        """The content of an engine file.

        Raises:
            EngineFailed: it is damaged, of another runtime or precision, or was not built for the batch.
        """
        runtime = runtime_of(path)
        if runtime != self.name:
            raise EngineFailed(f"{path} is an engine of {runtime}. Give --backend {runtime}")
        plan = SimulatedPlan.from_bytes(path.read_bytes(), path.name)
        if not plan.batch.least <= spec.batch <= plan.batch.most:
            raise EngineFailed(
                f"{path.name} was not built for a batch of {spec.batch}. Give --batch {plan.batch.best}, or build it "
                f"again"
            )
        if spec.precision not in (plan.precision, UNKNOWN):
            raise EngineFailed(f"{path.name} computes in {plan.precision}, not in {spec.precision}. Build it again")
        return plan

    def _load(self, path: Path, spec: CompileSpec) -> "FakeSession":
        """An engine, ready to run.

        Raises:
            EngineFailed: see `plan_of`.
        """
        plan = self.plan_of(path, spec)
        folder = TemporaryDirectory(prefix="nastool-")
        model = Model(Path(folder.name) / "engine.onnx")
        model.path.write_bytes(plan.onnx)
        call_ms = latency_ms(model, spec.batch, self.settings.scale_whole) * (1 + plan.slowdown)
        session = self.simulate(call_ms, model, replace(spec, precision=plan.precision))
        session.on_close(folder.cleanup)
        return self._in_memory(session, model, spec.batch)

    def _in_memory(self, session: "FakeSession", model: Model, batch: int) -> "FakeSession":
        """The session, with its share of the device's memory.

        Raises:
            BackendUnavailable: too little is free.
        """
        if self.memory_bytes is None:
            return session
        needed, free = model.footprint.at(batch), self.memory_bytes - self._claimed_bytes
        if needed > free:
            raise BackendUnavailable(
                f"the device has {free} bytes of memory free, and {needed} are needed. Use a smaller batch"
            )
        self._claimed_bytes += needed
        session.on_close(partial(self._release, needed))
        return session

    def _release(self, n_bytes: int) -> None:
        self._claimed_bytes -= n_bytes

    def simulate(
        self, call_ms: float, onnx: Path | Model | None = None, spec: CompileSpec | None = None
    ) -> "FakeSession":
        """A session whose call takes `call_ms` without noise, drift and bursts. Without a file it can only be timed."""
        self.clock.start(call_ms)
        return FakeSession(self, call_ms * (1 + self.settings.slowdown), onnx, spec)


class FakeSession:
    """A file with its simulated latency. It is loaded when it is first run."""

    def __init__(self, device: Backend, call_ms: float, onnx: Path | Model | None, spec: CompileSpec | None) -> None:
        self._device = device
        self._call_ms = call_ms
        self._onnx = onnx
        self._spec = spec
        self._session: Compiled | None = None
        self._closed = False
        self._clean_up: list[Callable[[], None]] = []

    def on_close(self, action: Callable[[], None]) -> None:
        """Also do this when the session is closed."""
        self._clean_up.append(action)

    def run(self, feeds: Arrays) -> dict[str, NDArray[float32]]:
        self._refuse_if_closed()
        if self._session is None:
            from exporters.backends.onnxruntime import Backend as OnnxRuntime

            if self._onnx is None or self._spec is None:
                raise ValueError("this session was simulated without a file, so it cannot be run. Compile a file")
            self._session = OnnxRuntime().compile(self._onnx, self._spec)
        return self._session.run(feeds)

    def time(self, min_ms: float) -> Timing:
        self._refuse_if_closed()
        return self._device.clock.time(self._call_ms, min_ms)

    def close(self) -> None:
        self._closed = True
        if self._session is not None:
            self._session.close()
        while self._clean_up:
            self._clean_up.pop()()

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise ValueError("this session was closed. Compile the file again")


def configured(text: str) -> Backend:
    """Parse the settings of the device, e.g. `noise=0.02,drift=0.1`.

    Raises:
        UnknownBackend: a setting is unknown, or its value is invalid.
    """
    known = {field.name: field for field in fields(FakeSettings)}
    settings: dict[str, float] = {}
    for item in text.split(","):
        setting, _, value = item.partition("=")
        if setting not in known:
            raise UnknownBackend(f"the backend fake has no setting {setting!r}. Its settings: {', '.join(known)}")
        settings[setting] = _number(setting, value)
    return Backend(**asdict(FakeSettings(**settings)))  # type: ignore[arg-type]  # seed is a whole number, see _number


def _number(setting: str, value: str) -> float:
    expected = "a whole number from 0" if setting == "seed" else "a number from 0, as 0.05"
    try:
        number = int(value) if setting == "seed" else float(value)
    except ValueError:
        number = -1
    if number < 0 or not isfinite(number):
        raise UnknownBackend(f"the setting {setting} of the backend fake must be {expected} (given: {value!r})")
    return number


def latency_ms(file: Path | Model, batch: int, scale_whole: float = 1.0) -> float:
    """The latency of one call of the file on `batch` images, in ms.

    Raises:
        NotOnnx: the file cannot be read, or a shape in it is unknown.
    """
    model = as_model(file)
    graph = onnx.shape_inference.infer_shapes(model.proto).graph
    made_by = {name: node for node in graph.node for name in node.output}
    shapes = {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in (*graph.value_info, *graph.output)
    }
    stored = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}

    def sizes(name: str) -> tuple[int, ...]:
        """The shape of a tensor; quantization operators on weights do not change it."""
        while name not in stored and name in made_by and made_by[name].op_type in ROUNDING_OPS:
            name = made_by[name].input[0]
        shape = stored.get(name) or shapes.get(name)
        if not shape:
            raise NotOnnx(
                f"the shape of {name} in {model.path} is unknown, and the backend fake needs it. "
                f"Give --backend onnxruntime, or export the file with fixed sizes"
            )
        return shape

    macs, convolutions = 0, 0
    for node in graph.node:
        if node.op_type == "Conv":  # each output value sums over one filter
            convolutions += 1
            macs += batch * prod(sizes(node.output[0])[1:]) * prod(sizes(node.input[1])[1:])
        elif node.op_type == "Gemm":  # each image is multiplied by every weight once
            macs += batch * prod(sizes(node.input[1]))
    scale = scale_whole if convolutions >= WHOLE_NETWORK_CONVOLUTIONS else 1.0
    return scale * (macs * NS_PER_MAC + len(graph.node) * NS_PER_NODE) / 1e6
