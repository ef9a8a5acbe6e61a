"""The interface to memory, a stream, events and graphs on an NVIDIA GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from numpy.typing import NDArray

Enqueue = Callable[[], object]


class DeviceMemory(Protocol):
    """One GPU and one stream on it. Pointers are addresses, sizes are bytes."""

    name: str
    ordinal: int  # the number of the GPU in CUDA, in this process

    @property
    def stream(self) -> int:
        """The handle of the stream, for other libraries."""

    def pci_bus_id(self) -> str:
        """The PCI bus id of the GPU, as `0000:65:00.0`; it identifies the GPU in CUDA and in NVML."""

    def claim(self, size: int) -> int:
        """Allocate `size` bytes; returns the pointer."""

    def free(self, pointer: int) -> None:
        """Free memory that `claim` allocated."""

    def upload(self, pointer: int, array: NDArray[Any]) -> None:
        """Copy to the GPU and wait for the copy."""

    def download(self, array: NDArray[Any], pointer: int) -> None:
        """Copy from the GPU after the work on the stream, and wait for the copy."""

    def synchronize(self) -> None:
        """Wait for all work on the stream."""

    def elapsed_ms(self, work: Enqueue) -> float:
        """Milliseconds between two events, recorded before and after the work that `work` enqueues."""

    def capture(self, enqueue: Enqueue) -> Enqueue:
        """A function that launches the same work again, as one CUDA graph if the library has graphs.

        Raises:
            CaptureFailed: the work cannot be captured.
        """

    def close(self) -> None:
        """Release the stream, events and graphs."""


class CaptureFailed(Exception):
    """Work cannot be captured as a CUDA graph. Callers in this package handle it."""
