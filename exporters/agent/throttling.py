"""What slows a CPU down against its settings, from the files of Linux: heat, under-voltage, over-current.

A timing during which it happens is noisy (`exporters.timing.Timing.noise_reason`). The kernel shows it in two forms:
flags that are set while it lasts, and counters of events since the machine was started. A virtual machine shows
neither; then nothing is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType

from exporters.agent.clocks import read_text
from exporters.timing import Timing

ROOT = Path("/")
HEAT, UNDER_VOLTAGE, OVER_CURRENT = "heat", "under-voltage", "over-current"
# Bits of the firmware of a Raspberry Pi (documentation of vcgencmd get_throttled): under-voltage, a capped clock, a
# throttled one, and the soft temperature limit
FIRMWARE = "sys/devices/platform/soc*/soc*firmware/get_throttled"
FIRMWARE_BITS: Mapping[int, str] = MappingProxyType(
    {0: UNDER_VOLTAGE, 1: "a frequency cap", 2: "its firmware", 3: HEAT}
)
PI_VOLTAGE = "rpi_volt"  # the sensor of the kernel's driver raspberrypi-hwmon
# Types of cooling devices whose state is above 0 while they slow a CPU down; a fan is another one
CPU_COOLING = ("cpufreq-", "thermal-cpufreq", "thermal-idle", "processor", "intel_powerclamp", "cpu-throttle-alert")
JETSON_EVENTS = "soctherm_oc"  # the sensor of NVIDIA's driver: oc1 is the voltage, oc2 and oc3 are currents
MAX_CORES = 16  # whose counters are read beside those of packages: reading one takes about 10 us


@dataclass(frozen=True)
class Flag:
    """A file of the kernel that shows what slows the CPU down now, and how its content is read."""

    file: Path
    read: Callable[[str], tuple[str, ...]]

    def reasons(self) -> tuple[str, ...]:
        """What slows the CPU down now."""
        return self.read(read_text(self.file))


class Throttling:
    """The files of one machine that show it; they are searched for once, since reading must be fast.

    Args:
        cooling: first words of the types of cooling devices that count.
    """

    def __init__(self, root: Path = ROOT, cooling: tuple[str, ...] = CPU_COOLING) -> None:
        self._root = root
        self._cooling = cooling
        self._flags = [*self._firmware(), *self._alarms(), *self._cooling_devices()]
        self._counters = dict([*self._cpu_counters(), *self._jetson_counters()])
        self._seen: set[str] = set()
        self._before: dict[Path, int] | None = None

    def state(self) -> dict[str, float | str]:
        """What slows the CPU down now, and the number of events since the machine was started; each if it is known."""
        now: dict[str, float | str] = {"throttled": ", ".join(self.now()) or "no"} if self._flags else {}
        return {**now, **({"throttle_count": sum(self.counts().values())} if self._counters else {})}

    def now(self) -> tuple[str, ...]:
        """What slows the CPU down now, by the flags."""
        return tuple(sorted({reason for flag in self._flags for reason in flag.reasons()}))

    def counts(self) -> dict[Path, int]:
        """The events since the machine was started, by the file of each counter."""
        return {file: _number(read_text(file)) for file in self._counters}

    def look(self) -> None:
        """Record the present state, for `reasons`."""
        self._seen.update(self.now())
        if self._before is None:
            self._before = self.counts()

    def reasons(self) -> tuple[str, ...]:
        """What slowed the CPU down since the first look after the last call of this."""
        self.look()
        before, seen = self._before or {}, self._seen
        self._before, self._seen = None, set()
        seen |= {self._counters[file] for file, count in self.counts().items() if count > before[file]}
        return tuple(sorted(seen))

    def during(self, measure: Callable[[], Timing]) -> Timing:
        """The timing that `measure` returns; noisy if the CPU was slowed down meanwhile."""
        if not (self._flags or self._counters):
            return measure()
        self.look()
        timing = measure()
        if not (reasons := self.reasons()):
            return timing
        slowed = f"the CPU was slowed down by {' and '.join(reasons)}"
        return replace(timing, noise_reason="; ".join(filter(None, (timing.noise_reason, slowed))))

    def _firmware(self) -> list[Flag]:
        return [Flag(file, _firmware_reasons) for file in self._root.glob(FIRMWARE) if read_text(file)]

    def _alarms(self) -> list[Flag]:
        return [Flag(sensor / "in0_lcrit_alarm", _if_set(UNDER_VOLTAGE)) for sensor in self._sensors(PI_VOLTAGE)]

    def _cooling_devices(self) -> list[Flag]:
        devices = self._root.glob("sys/class/thermal/cooling_device*")
        slowing = [device for device in devices if read_text(device / "type").lower().startswith(self._cooling)]
        return [Flag(device / "cur_state", _if_set(HEAT)) for device in slowing]

    def _cpu_counters(self) -> list[tuple[Path, str]]:
        """Those of Intel CPUs: of each package once, and of each core."""
        packages: dict[str, Path] = {}
        cores: dict[tuple[str, str], Path] = {}
        for cpu in sorted(self._root.glob("sys/devices/system/cpu/cpu[0-9]*")):
            package = read_text(cpu / "topology/physical_package_id")
            packages.setdefault(package, cpu / "thermal_throttle/package_throttle_count")
            core = package, read_text(cpu / "topology/core_id") or cpu.name
            cores.setdefault(core, cpu / "thermal_throttle/core_throttle_count")
        files = [*packages.values(), *(cores.values() if len(cores) <= MAX_CORES else ())]
        return [(file, HEAT) for file in files if file.exists()]

    def _jetson_counters(self) -> list[tuple[Path, str]]:
        return [
            (file, UNDER_VOLTAGE if file.name.startswith("oc1") else OVER_CURRENT)
            for sensor in self._sensors(JETSON_EVENTS)
            for file in sensor.glob("oc*_event_cnt")
        ]

    def _sensors(self, name: str) -> list[Path]:
        sensors = self._root.glob("sys/class/hwmon/hwmon*")
        return [sensor for sensor in sensors if read_text(sensor / "name") == name]


@cache
def throttling() -> Throttling:
    """That of this machine."""
    return Throttling()


def _number(text: str) -> int:
    """The number that a file of the kernel contains; 0 if it contains none."""
    return int(text) if text.isdigit() else 0


def _firmware_reasons(text: str) -> tuple[str, ...]:
    bits = int(text or "0", 16)
    return tuple(reason for bit, reason in FIRMWARE_BITS.items() if bits >> bit & 1)


def _if_set(reason: str) -> Callable[[str], tuple[str, ...]]:
    """Reads a flag that is a number: this reason where it is above 0."""
    return lambda text: (reason,) if _number(text) else ()
