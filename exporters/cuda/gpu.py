"""What is known of an NVIDIA GPU, and of its clock while a model is timed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MAX_DRIFT = 0.01  # of the clock while a model is timed; TensorRT's trtexec calls more than 2.5 % unstable


@dataclass(frozen=True)
class Gpu:
    """An attached GPU. Empty texts and zeros are unknown to the driver."""

    index: int  # of NVML
    name: str
    uuid: str
    pci_bus_id: str
    capability: str  # "8.6"
    driver: str  # "580.65.06, CUDA 13.0"
    memory_bytes: int
    cores: int = 0


def moved(clocks_mhz: Sequence[int]) -> str:
    """Why a timing with these clocks is not reliable; empty if it is. Zeros are unknown."""
    known = [mhz for mhz in clocks_mhz if mhz]
    if known and max(known) > min(known) * (1 + MAX_DRIFT):
        return f"the GPU's clock moved from {min(known)} to {max(known)} MHz"
    return ""
