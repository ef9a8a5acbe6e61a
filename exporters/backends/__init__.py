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


class Compiled(Protocol):
    """A file, made ready to run on a device."""

    def run(self, feeds: Arrays) -> dict[str, NDArray[np.float32]]:
        """Outputs by name for inputs by name, at any batch size."""

    def time(self, min_ms: float) -> Timing:
        """Warm up, then time calls on a batch of the spec's size for about `min_ms` milliseconds."""

    def close(self) -> None:
        """Give memory back; nothing can be run after that."""


class Backend(Protocol):
    """A runtime on a kind of device."""

    name: str

    @property
    def provider(self) -> str:
        """What of the runtime does the work; a part of the target that a latency belongs to."""

    def unavailable_reason(self) -> str | None:
        """Why it can't run here and what to do about it, or None if it can."""

    def version(self) -> str:
        """Its full version."""

    def compile(self, onnx: Path | Model, spec: CompileSpec) -> Compiled:
        """Make an ONNX file ready to run; a `Model` that was parsed before is not parsed again.

        Raises:
            NotOnnx: the file can't be read.
            WrongPrecision: the file is of another precision than the spec says (`exporters.graph.precision`).
            BackendUnavailable: the runtime can't run here, or not in this precision.
        """


@runtime_checkable
class PicksGpu(Protocol):
    """What a backend has as well that runs on NVIDIA GPUs."""

    def on_gpu(self, pci_bus_id: str) -> Backend:
        """The same, on the GPU in that place, as NVML writes it; without, a backend takes the one CUDA counts first."""


@runtime_checkable
class Simulated(Protocol):
    """What a backend has as well whose device is simulated, with a clock of its own."""

    def restarted(self) -> Backend:
        """The same device at the start of its clock. Each measurement begins there, whatever was timed before."""


def names() -> tuple[str, ...]:
    """The backends there are."""
    return tuple(sorted(module.name for module in iter_modules(__path__)))


def load(text: str) -> Backend:
    """The backend of that name, or of that name and settings: `fake:noise=0.02,drift=0.1`.

    A backend with settings has a function `configured(settings)` in its module.

    Raises:
        UnknownBackend: there is none, or it doesn't take these settings.
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
