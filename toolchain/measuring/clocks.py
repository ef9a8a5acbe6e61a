"""How a CPU's clock is governed. A virtual machine often doesn't tell, and then that is what is noted."""

from pathlib import Path

CPUS = Path("/sys/devices/system/cpu")


def cpu_clocks(root: Path = CPUS) -> str:
    """As `governor performance, turbo on`; `unknown` where the system doesn't tell."""
    governors = sorted({_read(file) for file in root.glob("cpu[0-9]*/cpufreq/scaling_governor")} - {""})
    found = [f"governor {' and '.join(governors)}"] if governors else []
    no_turbo, boost = _read(root / "intel_pstate" / "no_turbo"), _read(root / "cpufreq" / "boost")
    if no_turbo or boost:
        found.append("turbo on" if (no_turbo == "0" if no_turbo else boost == "1") else "turbo off")
    return ", ".join(found) or "unknown"


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
