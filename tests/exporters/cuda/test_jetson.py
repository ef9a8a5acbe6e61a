"""The GPU of a Jetson board, from the files of its Linux; CUDA is not here."""

from pathlib import Path

import pytest

from exporters.agent.machine import this_machine
from exporters.cuda import gpus, jetson, memory
from exporters.cuda.jetson import JetsonMonitor
from exporters.errors import BackendUnavailable

ORIN = {
    "proc/device-tree/compatible": "nvidia,p3768-0000+p3767-0005\0nvidia,tegra234\0",
    "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
    "proc/meminfo": "MemTotal:        7802068 kB\n",
    "proc/sys/kernel/random/boot_id": "1111\n",
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n",
    "var/lib/nvpmodel/status": "pmode:0002",
    "sys/class/devfreq/17000000.gpu/min_freq": "306000000\n",
    "sys/class/devfreq/17000000.gpu/max_freq": "1020000000\n",
    "sys/class/devfreq/17000000.gpu/cur_freq": "306000000\n",
    "sys/class/devfreq/15340000.vic/cur_freq": "115200000\n",
    "sys/class/hwmon/hwmon3/name": "soctherm_oc\n",
    "sys/class/hwmon/hwmon3/oc3_event_cnt": "5\n",
}


def write(root: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)


@pytest.fixture
def board(tmp_path: Path) -> Path:
    write(tmp_path, ORIN)
    return tmp_path


def test_a_board_is_recognized(board: Path) -> None:
    assert jetson.is_jetson(board)
    write(board, {"proc/device-tree/compatible": "raspberrypi,5-model-b\0brcm,bcm2712\0"})
    assert not jetson.is_jetson(board)
    assert not jetson.is_jetson(board / "nowhere")


def test_its_gpu_is_described_without_nvml(board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "capability_and_cuda", lambda: ("8.7", "12.6"))
    gpu = jetson.gpu(board)
    assert (gpu.name, gpu.capability) == ("NVIDIA Jetson Orin Nano Developer Kit", "8.7")
    assert gpu.driver == "Jetson Linux 36.4.3, CUDA 12.6"
    assert (gpu.uuid, gpu.pci_bus_id, gpu.memory_bytes) == ("gpu-of-cpu-1111", "", 7802068 * 1024)


def test_without_a_cuda_library_the_gpu_is_still_listed(board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> tuple[str, str]:
        raise BackendUnavailable("neither cuda-python nor pycuda is installed")

    monkeypatch.setattr(memory, "capability_and_cuda", missing)
    gpu = jetson.gpu(board)
    assert (gpu.capability, gpu.driver) == ("", "Jetson Linux 36.4.3")


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ({}, "floating, power mode 2"),
        ({"sys/class/devfreq/17000000.gpu/min_freq": "1020000000\n"}, "held at 1020 MHz, power mode 2"),
        ({"var/lib/nvpmodel/status": ""}, "floating"),
        ({"sys/class/devfreq/17000000.gpu/max_freq": ""}, "unknown, power mode 2"),
    ],
)
def test_its_clocks_and_power_mode(board: Path, files: dict[str, str], text: str) -> None:
    write(board, files)
    assert jetson.clocks(board) == text


def test_the_power_mode_is_part_of_its_cpu_as_well(board: Path) -> None:
    assert this_machine(board).clocks == "unknown, power mode 2"


def test_a_timing_is_noisy_if_the_clock_moves_or_the_board_is_slowed_down(board: Path) -> None:
    monitor = JetsonMonitor(board)
    monitor.look()
    monitor.look()
    assert monitor.noise_reason() == ""
    monitor.look()
    write(board, {"sys/class/devfreq/17000000.gpu/cur_freq": "1020000000\n"})
    monitor.look()
    assert monitor.noise_reason() == "the GPU's clock moved from 306 to 1020 MHz"
    monitor.look()
    write(board, {"sys/class/hwmon/hwmon3/oc3_event_cnt": "6\n"})
    assert monitor.noise_reason() == "the board was slowed down by over-current"
    assert monitor.noise_reason() == "", "a reason is reported once"
    write(board, {"sys/class/thermal/cooling_device9/type": "gpu-throttle-alert\n"})
    write(board, {"sys/class/thermal/cooling_device9/cur_state": "1\n"})
    assert JetsonMonitor(board).noise_reason() == "the board was slowed down by heat"


def test_this_machine_is_asked_as_a_jetson(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jetson, "is_jetson", lambda: True)
    monkeypatch.setattr(jetson, "clocks", lambda: "floating, power mode 0")
    (gpu,) = gpus.gpus()
    assert gpu.driver.startswith("Jetson Linux")
    assert gpus.clocks_of("") == "floating, power mode 0"
    assert isinstance(gpus.clock_monitor(""), JetsonMonitor)
    assert gpus.gpu_conditions(gpu.uuid) == {}
