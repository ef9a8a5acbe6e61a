"""The machine that this code runs on: its CPU, its settings, and its state now, from the files of Linux."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from exporters.agent.clocks import cpu_clocks, power_mode, read_text
from exporters.agent.throttling import Throttling

ROOT = Path("/")
SENSORS = ("coretemp", "k10temp", "cpu_thermal")  # of CPUs: Intel, AMD, ARM boards
ZONES = ("cpu", "soc", "x86_pkg_temp")  # the first words of thermal zones of a CPU


@dataclass(frozen=True)
class Machine:
    """The identity of a machine; part of the target of every latency that is measured on it.

    Args:
        model: the board or the CPU.
        cores: physical cores; 0 if unknown.
        uid: identifies the machine until it is restarted.
        flags: the instruction sets of the CPU, separated by spaces.
        affinity: the CPUs that this process may run on, e.g. "0,1".
        clocks: see `cpu_clocks`, and `power_mode` of a Jetson board.
        memory_bytes: the total memory; 0 if unknown.
    """

    model: str
    cores: int
    uid: str
    flags: str
    affinity: str
    os: str
    architecture: str
    clocks: str
    memory_bytes: int


def this_machine(root: Path = ROOT) -> Machine:
    """The machine that this code runs on.

    Args:
        root: the folder that has `proc` and `sys`.
    """
    cpu_info = read_text(root / "proc/cpuinfo")
    board = read_text(root / "proc/device-tree/model")  # ARM boards; their /proc/cpuinfo has no model name
    affinity = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return Machine(
        model=field(cpu_info, "model name") or board or platform.processor() or platform.machine(),
        cores=_cores(root),
        # containers have different host names but share the kernel and the cores
        uid=f"cpu-{read_text(root / 'proc/sys/kernel/random/boot_id') or platform.node()}",
        flags=field(cpu_info, "flags") or field(cpu_info, "Features"),
        affinity=",".join(map(str, affinity)),
        os=platform.platform(),
        architecture=platform.machine(),
        clocks=", ".join(filter(None, (cpu_clocks(root / "sys/devices/system/cpu"), power_mode(root)))),
        memory_bytes=bytes_in(read_text(root / "proc/meminfo"), "MemTotal"),
    )


def conditions(root: Path = ROOT) -> dict[str, float | str]:
    """The state of the machine now: load, and if known temperature in degrees Celsius, clock in MHz and throttling."""
    values: dict[str, float | str] = {}
    if hasattr(os, "getloadavg"):
        values["load_1min"] = round(os.getloadavg()[0], 2)
    temperatures = _temperatures(root)
    if temperatures:
        values["temperature_c"] = max(temperatures)
    clocks = _clocks_mhz(root)
    if clocks:
        values["clock_mhz"] = round(sum(clocks) / len(clocks))
    return {**values, **Throttling(root).state()}


def field(text: str, label: str) -> str:
    """The first value of a label in a file such as /proc/cpuinfo; "" if there is none."""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == label:
            return value.strip()
    return ""


def bytes_in(text: str, label: str) -> int:
    """The bytes of a label whose value is in kB, as in /proc/meminfo; 0 if there is none."""
    return 1024 * int((field(text, label) or "0").split()[0])


def _cores(root: Path) -> int:
    cpus = root / "sys/devices/system/cpu"
    names = ("core_cpus_list", "thread_siblings_list")
    for name in names:
        cores = {read_text(file) for file in cpus.glob(f"cpu[0-9]*/topology/{name}")} - {""}
        if cores:
            return len(cores)
    return 0


def _temperatures(root: Path) -> list[float]:
    files = [
        file
        for sensor in (root / "sys/class/hwmon").glob("hwmon*")
        if read_text(sensor / "name") in SENSORS
        for file in sensor.glob("temp*_input")
    ]
    if not files:
        zones = (root / "sys/class/thermal").glob("thermal_zone*")
        files = [zone / "temp" for zone in zones if read_text(zone / "type").lower().startswith(ZONES)]
    return [int(text) / 1000 for text in map(read_text, files) if text.lstrip("-").isdigit()]


def _clocks_mhz(root: Path) -> list[float]:
    policies = (root / "sys/devices/system/cpu/cpufreq").glob("policy*/scaling_cur_freq")
    clocks = [int(text) / 1000 for text in map(read_text, policies) if text.isdigit()]
    if clocks:
        return clocks
    lines = read_text(root / "proc/cpuinfo").splitlines()
    return [float(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]
