"""Clock settings of a CPU, as far as the system reports them. A virtual machine often does not."""

from pathlib import Path

CPUS = Path("/sys/devices/system/cpu")


def cpu_clocks(root: Path = CPUS) -> str:
    """E.g. `governor performance, turbo on`; `unknown` if the system does not report them."""
    governors = sorted({_read(file) for file in root.glob("cpu[0-9]*/cpufreq/scaling_governor")} - {""})
    settings = [f"governor {' and '.join(governors)}"] if governors else []
    no_turbo, boost = _read(root / "intel_pstate" / "no_turbo"), _read(root / "cpufreq" / "boost")
    if no_turbo or boost:
        settings.append("turbo on" if (no_turbo == "0" if no_turbo else boost == "1") else "turbo off")
    return ", ".join(settings) or "unknown"


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
