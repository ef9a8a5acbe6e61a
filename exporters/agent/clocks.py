"""Clock settings of a machine, as far as the system reports them. A virtual machine often does not."""

from __future__ import annotations

import re
from pathlib import Path

CPUS = Path("/sys/devices/system/cpu")


def cpu_clocks(root: Path = CPUS) -> str:
    """E.g. `governor performance, turbo on`; `unknown` if the system does not report them."""
    governors = sorted({read_text(file) for file in root.glob("cpu[0-9]*/cpufreq/scaling_governor")} - {""})
    settings = [f"governor {' and '.join(governors)}"] if governors else []
    no_turbo, boost = read_text(root / "intel_pstate" / "no_turbo"), read_text(root / "cpufreq" / "boost")
    if no_turbo or boost:
        settings.append("turbo on" if (no_turbo == "0" if no_turbo else boost == "1") else "turbo off")
    return ", ".join(settings) or "unknown"


def power_mode(root: Path) -> str:
    """`power mode 2` of a Jetson board, as nvpmodel set it; "" on other machines, or if it was never set."""
    mode = re.search(r"pmode:(\d+)", read_text(root / "var/lib/nvpmodel/status"))
    return f"power mode {int(mode[1])}" if mode else ""


def read_text(file: Path) -> str:
    """The content of a file of the kernel; "" if there is none."""
    try:
        return file.read_text(errors="replace").strip("\0 \n\t")
    except OSError:
        return ""
