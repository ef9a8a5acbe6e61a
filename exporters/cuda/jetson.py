"""The GPU of an NVIDIA Jetson board, from the files of its Linux and through CUDA.

NVML, which describes other GPUs, is not part of JetPack 5 and knows little of the GPU in JetPack 6. The board has one
GPU, which shares the memory of the CPU and has no place on a PCI bus.
"""

from __future__ import annotations

import re
from pathlib import Path

from exporters.agent.clocks import power_mode, read_text
from exporters.agent.machine import ROOT, this_machine
from exporters.agent.throttling import CPU_COOLING, Throttling
from exporters.cuda import memory
from exporters.cuda.gpu import Gpu, moved
from exporters.errors import BackendUnavailable

DEVFREQ = ("*.gpu", "*.ga10b", "*.gv11b", "*.gp10b", "*.gm20b")  # names of the GPU in /sys/class/devfreq, by chip
GPU_COOLING = ("devfreq-", "thermal-devfreq", "gpu-throttle-alert")
RELEASE = re.compile(r"R(\d+).*REVISION: ([\d.]+)")  # the first line of /etc/nv_tegra_release


def is_jetson(root: Path = ROOT) -> bool:
    """Whether this machine is a Jetson board."""
    return "nvidia,tegra" in read_text(root / "proc/device-tree/compatible")


def gpu(root: Path = ROOT) -> Gpu:
    """The GPU of this board. Without a CUDA library its compute capability is unknown."""
    machine = this_machine(root)
    try:
        capability, cuda = memory.capability_and_cuda()
    except BackendUnavailable:
        capability, cuda = "", ""
    release = RELEASE.search(read_text(root / "etc/nv_tegra_release"))
    linux = f"Jetson Linux {release[1]}.{release[2]}" if release else "Jetson Linux"
    return Gpu(
        index=0,
        name=machine.model,
        uuid=f"gpu-of-{machine.uid}",
        pci_bus_id="",
        capability=capability,
        driver=f"{linux}, CUDA {cuda}" if cuda else linux,
        memory_bytes=machine.memory_bytes,
    )


def clocks(root: Path = ROOT) -> str:
    """E.g. `floating, power mode 2`, or `held at 1300 MHz, power mode 0` after jetson_clocks."""
    folder = _clock_folder(root)
    least, most = (_mhz(folder, name) for name in ("min_freq", "max_freq"))
    frequency = "unknown" if not most else f"held at {most} MHz" if least == most else "floating"
    mode = power_mode(root)
    return f"{frequency}, {mode}" if mode else frequency


class JetsonMonitor:
    """Observes the board while a model is timed, and reports afterwards whether anything slowed it down."""

    def __init__(self, root: Path = ROOT) -> None:
        self._folder = _clock_folder(root)  # searched for once: states are recorded between samples and must be fast
        self._throttling = Throttling(root, (*CPU_COOLING, *GPU_COOLING))
        self._clocks: list[int] = []

    def look(self) -> None:
        """Record the current state."""
        self._clocks.append(_mhz(self._folder, "cur_freq"))
        self._throttling.look()

    def noise_reason(self) -> str:
        """Why timings since the last call are not reliable; empty if they are."""
        clocks, self._clocks = self._clocks, []
        if reasons := self._throttling.reasons():
            return f"the board was slowed down by {' and '.join(reasons)}"
        return moved(clocks)


def _clock_folder(root: Path) -> Path | None:
    """The folder of the clocks of the GPU; None if the kernel does not have it."""
    devices = (device for pattern in DEVFREQ for device in (root / "sys/class/devfreq").glob(pattern))
    return next((device for device in devices if read_text(device / "cur_freq").isdigit()), None)


def _mhz(folder: Path | None, name: str) -> int:
    """A clock in MHz; 0 if it is unknown."""
    text = "" if folder is None else read_text(folder / name)
    return round(int(text) / 1e6) if text.isdigit() else 0
