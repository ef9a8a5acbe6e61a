"""What runs an exported file.

A backend is one file in this folder, with a class `Backend`; the folder is the list.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from exporters.cuda.engine import CURRENT, BatchRange, Engine
from exporters.errors import UnknownBackend
from exporters.graph.model import Model
from exporters.timing import Timing

Arrays = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class CompileSpec:
    """How a file is to run: images a batch when timed, CPU threads, and the precision that the file must be of.

    An engine that is to take several batches has `batches`: the least, the one it is tuned for, the most.
    """

    batch: int
    threads: int = 1
    precision: str = "fp32"
    batches: tuple[int, int, int] | None = None

    @property
    def batch_range(self) -> BatchRange:
        """The batches of an engine."""
        return BatchRange(*self.batches) if self.batches else BatchRange.static(self.batch)


class Compiled(Protocol):
    """A file, made ready to run on a device."""

    def run(self, feeds: Arrays) -> dict[str, NDArray[np.float32]]:
        """Outputs by name for inputs by name, at any batch size."""

    def time(self, min_ms: float) -> Timing:
        """Warm up, then time calls on a batch of the spec's size for about `min_ms` milliseconds."""

    def close(self) -> None:
        """Free its memory. It cannot be used afterwards."""


class Backend(Protocol):
    """A runtime on a kind of device."""

    name: str

    @property
    def provider(self) -> str:
        """The execution provider or device library, part of the target of a latency."""

    def unavailable_reason(self) -> str | None:
        """Why it cannot run here and what to do about it, or None if it can."""

    def version(self) -> str:
        """The full version of the runtime."""

    def compile(self, onnx: Path | Model, spec: CompileSpec) -> Compiled:
        """Compile an ONNX file; a `Model` that is already parsed is not parsed again.

        Raises:
            NotOnnx: the file cannot be read.
            WrongPrecision: the precision of the file differs from that of the spec (`exporters.graph.precision`).
            BackendUnavailable: the runtime cannot run here, or not in this precision.
        """


@runtime_checkable
class PicksGpu(Protocol):
    """A backend that runs on NVIDIA GPUs."""

    def on_gpu(self, pci_bus_id: str) -> Backend:
        """The same backend on the GPU with this PCI bus id, in NVML's format. The default is the first GPU of CUDA."""


@runtime_checkable
class BuildsEngines(Protocol):
    """A backend that builds engine files, which it alone runs."""

    name: str

    def build_unavailable_reason(self) -> str | None:
        """Why no engine can be built here, or None."""

    def build(self, onnx: Path | Model, spec: CompileSpec, capability: str = CURRENT) -> Engine:
        """Build the engine of an ONNX file for a compute capability, or for the device of this machine.

        Raises:
            NotOnnx: the file cannot be read.
            WrongPrecision: the precision of the file differs from that of the spec.
            EngineFailed, BackendUnavailable: it cannot be built, or not here.
        """


@runtime_checkable
class Simulated(Protocol):
    """A backend with a simulated device and clock."""

    def restarted(self) -> Backend:
        """The same device with its clock reset. A measurement starts with it, independent of earlier ones."""


@runtime_checkable
class LimitedMemory(Protocol):
    """A backend that states the memory of its device; that of GPUs is known from their driver."""

    @property
    def memory_bytes(self) -> int | None:
        """The total memory of the device, or None if there is no limit."""


def names() -> tuple[str, ...]:
    """The names of all backends."""
    return tuple(sorted(module.name for module in iter_modules(__path__)))


def load(text: str) -> Backend:
    """Load a backend by its name, optionally with settings: `fake:noise=0.02,drift=0.1`.

    A backend with settings has a function `configured(settings)` in its module.

    Raises:
        UnknownBackend: there is no such backend, or it does not accept these settings.
    """
    name, colon, settings = text.partition(":")
    if name not in names():
        raise UnknownBackend(f"unknown backend {name!r}. Known backends: {', '.join(names())}")
    module = import_module(f"{__name__}.{name}")
    if not colon:
        return cast(Backend, module.Backend())
    if not hasattr(module, "configured"):
        raise UnknownBackend(f"the backend {name} takes no settings (given: {settings!r}). Write it without the colon")
    return cast(Backend, module.configured(settings))
