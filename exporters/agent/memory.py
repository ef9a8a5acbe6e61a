"""The memory of this process, from the files of Linux."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from exporters.agent.clocks import read_text
from exporters.agent.machine import bytes_in

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")
RESET_PEAK = "5"  # proc_pid_clear_refs(5)


class PeakMemory:
    """The growth of the resident memory of this process since it was created, at its peak."""

    def __init__(self) -> None:
        with suppress(OSError):  # then the peak is that of the whole process
            CLEAR.write_text(RESET_PEAK)
        self._before = resident("VmRSS")

    def bytes(self) -> int:
        """The growth in bytes; 0 if it is unknown."""
        return max(0, resident("VmHWM") - self._before)


def resident(label: str) -> int:
    """Resident memory in bytes: `VmRSS` now, `VmHWM` at the peak; 0 if it is unknown."""
    return bytes_in(read_text(STATUS), label)
