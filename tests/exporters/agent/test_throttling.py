"""Throttling of a CPU, from the files of several kinds of Linux machines, makes a timing noisy."""

from collections.abc import Callable
from pathlib import Path

import pytest

from exporters.agent import session, throttling
from exporters.agent.throttling import Throttling
from exporters.timing import Timing

FIRMWARE = "sys/devices/platform/soc/soc:firmware/get_throttled"
CALM = Timing(1, 1.0, 1.0, 1.0, 1.0, (1.0,))
BOARDS = {  # board -> (files before a timing, files that change during it, the reason)
    "under-voltage of a Raspberry Pi": ({FIRMWARE: "50000"}, {FIRMWARE: "50001"}, "under-voltage"),
    "heat of a Raspberry Pi": ({FIRMWARE: "0"}, {FIRMWARE: "e"}, "a frequency cap and heat and its firmware"),
    "a Raspberry Pi with the kernel's own driver": (
        {"sys/class/hwmon/hwmon1/name": "rpi_volt", "sys/class/hwmon/hwmon1/in0_lcrit_alarm": "0"},
        {"sys/class/hwmon/hwmon1/in0_lcrit_alarm": "1"},
        "under-voltage",
    ),
    "a cooling device of an ARM board": (
        {"sys/class/thermal/cooling_device0/type": "cpufreq-cpu0", "sys/class/thermal/cooling_device0/cur_state": "0"},
        {"sys/class/thermal/cooling_device0/cur_state": "3"},
        "heat",
    ),
    "a Jetson that is hot": (
        {"sys/class/thermal/cooling_device7/type": "cpu-throttle-alert"}
        | {"sys/class/thermal/cooling_device7/cur_state": "0", "sys/class/thermal/cooling_device8/type": "pwm-fan"}
        | {"sys/class/thermal/cooling_device8/cur_state": "3"},
        {"sys/class/thermal/cooling_device7/cur_state": "1"},
        "heat",
    ),
    "an Intel laptop": (
        {"sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "7"},
        {"sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "8"},
        "heat",
    ),
    "an Intel server": (
        {f"sys/devices/system/cpu/cpu{n}/thermal_throttle/package_throttle_count": "0" for n in range(64)}
        | {f"sys/devices/system/cpu/cpu{n}/thermal_throttle/core_throttle_count": "0" for n in range(64)}
        | {f"sys/devices/system/cpu/cpu{n}/topology/physical_package_id": f"{n // 32}" for n in range(64)},
        {"sys/devices/system/cpu/cpu32/thermal_throttle/package_throttle_count": "1"},
        "heat",
    ),
    "a Jetson": (
        {"sys/class/hwmon/hwmon3/name": "soctherm_oc", "sys/class/hwmon/hwmon3/oc1_event_cnt": "4"}
        | {"sys/class/hwmon/hwmon3/oc3_event_cnt": "27390"},
        {"sys/class/hwmon/hwmon3/oc3_event_cnt": "27391"},
        "over-current",
    ),
}


def write(root: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content + "\n")


def changing(root: Path, files: dict[str, str]) -> Callable[[], Timing]:
    """A timing during which the files change."""

    def measure() -> Timing:
        write(root, files)
        return CALM

    return measure


@pytest.mark.parametrize("board", BOARDS)
def test_a_timing_is_noisy_while_the_cpu_is_slowed_down(board: str, tmp_path: Path) -> None:
    before, changes, reason = BOARDS[board]
    write(tmp_path, before)
    monitor = Throttling(tmp_path)
    assert monitor.during(lambda: CALM) == CALM, "nothing has happened yet"
    timing = monitor.during(changing(tmp_path, changes))
    assert timing.noise_reason == f"the CPU was slowed down by {reason}"


def test_a_flag_that_is_cleared_during_the_timing_counts(tmp_path: Path) -> None:
    write(tmp_path, {FIRMWARE: "1"})
    timing = Throttling(tmp_path).during(changing(tmp_path, {FIRMWARE: "10000"}))
    assert timing.noise_reason == "the CPU was slowed down by under-voltage"


def test_a_fan_is_no_throttling(tmp_path: Path) -> None:
    write(tmp_path, {"sys/class/thermal/cooling_device0/type": "pwm-fan"})
    write(tmp_path, {"sys/class/thermal/cooling_device0/cur_state": "3"})
    assert Throttling(tmp_path).during(lambda: CALM) == CALM
    assert Throttling(tmp_path).state() == {}


def test_the_counters_of_many_cores_are_not_read(tmp_path: Path) -> None:
    """Reading a file takes as long as some calls; a package counts the events of its cores."""
    write(tmp_path, BOARDS["an Intel server"][0])
    assert len(Throttling(tmp_path).counts()) == 2


def test_a_session_on_the_cpu_is_timed_under_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from onnx import TensorProto, helper, save_model

    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    save_model(model, tmp_path / "relu.onnx")
    write(tmp_path, {FIRMWARE: "1"})
    monkeypatch.setattr(session, "throttling", lambda: throttling.Throttling(tmp_path))
    loaded = session.load_on_cpu(str(tmp_path / "relu.onnx"), 4, 1)
    assert "the CPU was slowed down by under-voltage" in loaded.time(0.1).noise_reason
    loaded.close()
