"""The simulated device of the backend `fake`, with its clock on a remote device."""

from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from exporters.agent.session import CPU
from exporters.backends import CompileSpec
from exporters.backends.fake import Backend as Fake
from exporters.backends.fake import latency_ms
from exporters.cuda.engine import CURRENT, Engine
from exporters.cuda.plans import SUFFIX
from exporters.errors import NotOnnx
from exporters.graph.model import Model, as_model
from exporters.remote.connection import Connection, RemoteError
from exporters.remote.content import content_of
from exporters.remote.messages import Nothing
from exporters.remote.session import Session, load


class SimulatedDevice:
    """The simulated device of the backend `fake`, with its clock on a remote device.

    The remote device may simulate another speed (`exporters.agent.requests.SPEED_VARIABLE`), which is part of the
    version.
    """

    name = Fake.name
    provider = Fake.provider

    def __init__(self, connection: Connection, settings: Fake) -> None:
        self._connection = connection
        self._settings = settings

    @property
    def memory_bytes(self) -> int | None:
        """The memory of the device, or None if it has no limit."""
        return self._settings.memory_bytes

    def restarted(self) -> "SimulatedDevice":
        """The same device with its clock reset."""
        self._connection.ask("simulate", Nothing, settings=asdict(self._settings.settings))
        return self

    def unavailable_reason(self) -> str | None:
        return None

    def build_unavailable_reason(self) -> str | None:
        return None

    def version(self) -> str:
        speed = self._connection.hello.simulated_speed
        return self._settings.version() + ("" if speed == 1.0 else f" speed={speed:g}")

    def build(self, onnx: Path | Model, spec: CompileSpec, capability: str = CURRENT) -> Engine:
        """An engine of the simulated device; see `exporters.backends.fake.Backend.build`."""
        return replace(self._settings.build(onnx, spec, capability), built_by=f"{self.name} {self.version()}")

    def compile(self, onnx: Path | Model, spec: CompileSpec) -> Session:
        model = as_model(onnx)
        if model.path.suffix != SUFFIX:
            return self._load(model, spec)
        plan = self._settings.plan_of(model.path, spec)
        with TemporaryDirectory(prefix="nastool-") as folder:
            inner = Model(Path(folder) / "engine.onnx")
            inner.path.write_bytes(plan.onnx)
            return self._load(inner, spec, 1 + plan.slowdown)

    def _load(self, model: Model, spec: CompileSpec, slower: float = 1.0) -> Session:
        settings = self._settings.settings
        call_ms = latency_ms(model, spec.batch, settings.scale_whole) * slower * (1 + settings.slowdown)
        digest = self._connection.upload(content_of(model))
        try:
            return load(
                self._connection,
                digest,
                simulated_ms=call_ms,
                batch=spec.batch,
                threads=spec.threads,
                integer_fusions=not model.half_scales,
                provider=CPU,
                gpu=None,
            )
        except RemoteError as problem:
            raise NotOnnx(f"{self._connection.name} cannot load {model.path}: {problem}. Export it again") from None
