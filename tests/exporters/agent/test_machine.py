"""The identity and the state of a machine, from the files of several kinds of Linux machines."""

from pathlib import Path

import pytest

from exporters.agent.machine import conditions, this_machine

PI = {
    "proc/cpuinfo": "processor\t: 0\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd evtstrm crc32\n",
    "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
    "proc/meminfo": "MemTotal:        8257856 kB\nMemFree: 1 kB\n",
    "proc/sys/kernel/random/boot_id": "11111111-2222-3333-4444-555555555555\n",
    **{f"sys/devices/system/cpu/cpu{n}/topology/core_cpus_list": f"{n}\n" for n in range(4)},
    **{f"sys/devices/system/cpu/cpu{n}/cpufreq/scaling_governor": "ondemand\n" for n in range(4)},
    "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq": "2400000\n",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "61300\n",
    "sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
}
LAPTOP = {
    "proc/cpuinfo": "model name\t: Intel(R) Core(TM) i7\ncpu MHz\t: 800.0\nflags\t: fpu avx2\n\ncpu MHz\t: 1200.0\n",
    **{f"sys/devices/system/cpu/cpu{n}/topology/core_cpus_list": f"{n // 2}\n" for n in range(4)},
    **{f"sys/devices/system/cpu/cpu{n}/thermal_throttle/core_throttle_count": "3\n" for n in range(2)},
    "sys/class/hwmon/hwmon0/name": "coretemp\n",
    "sys/class/hwmon/hwmon0/temp1_input": "55000\n",
    "sys/class/hwmon/hwmon0/temp2_input": "58000\n",
    "sys/class/hwmon/hwmon1/name": "nvme\n",
    "sys/class/hwmon/hwmon1/temp1_input": "99000\n",
}


def written(files: dict[str, str], root: Path) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


def test_a_raspberry_pi(tmp_path: Path) -> None:
    machine = this_machine(written(PI, tmp_path))
    assert (machine.model, machine.cores) == ("Raspberry Pi 5 Model B Rev 1.0", 4)
    assert machine.uid == "cpu-11111111-2222-3333-4444-555555555555"
    assert machine.flags.split() == ["fp", "asimd", "evtstrm", "crc32"]
    assert (machine.clocks, machine.memory_bytes) == ("governor ondemand", 8257856 * 1024)
    state = conditions(tmp_path)
    assert (state["temperature_c"], state["clock_mhz"]) == (61.3, 2400)
    assert state["throttled"] == "its firmware, under-voltage"


def test_a_laptop(tmp_path: Path) -> None:
    machine = this_machine(written(LAPTOP, tmp_path))
    assert (machine.model, machine.cores) == ("Intel(R) Core(TM) i7", 2)
    state = conditions(tmp_path)
    assert (state["temperature_c"], state["clock_mhz"], state["throttle_count"]) == (58.0, 1000, 6)


@pytest.mark.parametrize("content", ["", "0\n"])
def test_what_a_machine_does_not_report_is_absent(tmp_path: Path, content: str) -> None:
    written({"sys/devices/platform/soc/soc:firmware/get_throttled": content}, tmp_path)
    machine, state = this_machine(tmp_path), conditions(tmp_path)
    assert machine.model
    assert (machine.cores, machine.memory_bytes) == (0, 0)
    assert not {"temperature_c", "clock_mhz", "throttle_count"} & state.keys()
    assert state.get("throttled", "no") == "no"
