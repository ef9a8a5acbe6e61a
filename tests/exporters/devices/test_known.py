"""devices.toml: every figure has a source and a sane size."""

import re
import tomllib
from importlib import resources

import pytest

from exporters.devices.known import KnownDevice, find_known, known, recognize_cpu, recognize_gpu
from exporters.errors import UnknownDevice

GPUS = [device for device in known() if device.kind == "gpu"]
WRITTEN = tomllib.loads((resources.files("exporters.devices") / "devices.toml").read_text(encoding="utf-8"))
CHIPS = {name: values["chip"] for name, values in WRITTEN.items() if "chip" in values}
# Dense fp16 a cycle, accumulated in fp16, over fp32 a cycle; the tensor cores of 9.0 boost to 92 % of the clock only.
FP16_OVER_FP32 = {"6.0": 2, "7.0": 8, "7.2": 8, "7.5": 8, "8.0": 16, "8.6": 4, "8.9": 4, "9.0": 14.7, "12.0": 4}


def test_names_are_unambiguous() -> None:
    names = [name for device in known() for name in (device.name, *device.aliases)]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name) for name in names)
    reported = [name.lower() for device in known() for name in device.vendor_names]
    assert len(set(reported)) == len(reported)


@pytest.mark.parametrize("device", known(), ids=lambda device: device.name)
def test_every_device_has_its_sources(device: KnownDevice) -> None:
    assert device.sources
    assert device.kind in ("cpu", "gpu")
    assert bool(device.cpu_flags) == (device.kind == "cpu")


@pytest.mark.parametrize("device", GPUS, ids=lambda device: device.name)
def test_rates_are_in_the_documented_units(device: KnownDevice) -> None:
    """Bounds between which all of these devices lie: a slip of a unit is a factor of a thousand."""
    assert re.fullmatch(r"\d+\.\d", device.capability)
    for value, low, high in (
        (device.fp32_flops_per_s, 1e12, 200e12),
        (device.fp16_flops_per_s, 5e12, 5e15),
        (device.int8_ops_per_s, 10e12, 10e15),
        (device.bytes_per_s, 50e9, 10e12),
        (device.memory_bytes, 4e9, 300e9),
    ):
        assert value is None or low < value < high
    assert bool(device.last_tensorrt) == bool(device.runs_with)


def test_only_a_gpu_without_published_fp32_has_no_chip() -> None:
    assert {device.name for device in GPUS} - set(CHIPS) == {"b200"}


@pytest.mark.parametrize("device", [device for device in GPUS if device.name in CHIPS], ids=lambda device: device.name)
def test_rates_match_cores_and_clocks(device: KnownDevice) -> None:
    chip = CHIPS[device.name]
    fp32 = 2 * chip["cores"] * chip["boost_mhz"] * 1e6
    assert device.bytes_per_s == pytest.approx(chip["bus_bits"] * chip["pin_gbit_s"] / 8 * 1e9, rel=0.02)
    if device.fp32_flops_per_s is not None:
        assert device.fp32_flops_per_s == pytest.approx(fp32, rel=0.02)
    if device.fp16_flops_per_s is not None:
        assert device.fp16_flops_per_s == pytest.approx(FP16_OVER_FP32[device.capability] * fp32, rel=0.03)


@pytest.mark.parametrize("device", GPUS, ids=lambda device: device.name)
def test_int8_is_twice_fp16(device: KnownDevice) -> None:
    """Of every tensor core that has both; a rate with sparsity is twice as high."""
    if None not in (device.fp16_flops_per_s, device.int8_ops_per_s):
        assert device.int8_ops_per_s == pytest.approx(2 * (device.fp16_flops_per_s or 0), rel=0.02)


@pytest.mark.parametrize("device", GPUS, ids=lambda device: device.name)
def test_last_tensorrt_follows_from_the_compute_capability(device: KnownDevice) -> None:
    last = {"6.0": "8.6", "6.1": "8.6", "7.0": "10.4", "7.2": "8.5"}
    assert device.last_tensorrt == last.get(device.capability, "")


def test_titan_xp() -> None:
    """The paper's device. 12.15 TFLOP/s and 547.7 GB/s are the maker's figures; the constants were fitted."""
    device = find_known("titan-xp")
    assert (device.name, device.capability, device.last_tensorrt) == ("titanxp", "6.1", "8.6")
    assert (device.fp32_flops_per_s, device.bytes_per_s) == (pytest.approx(12.15e12), pytest.approx(547.7e9))
    assert device.roofline is not None
    assert (device.roofline.flops_per_s, device.roofline.bytes_per_s) == (2.03e12, 201e9)
    assert "Table 5" in device.roofline.fitted_on
    # no layer can run above the device's own rates
    assert device.roofline.flops_per_s < device.fp32_flops_per_s
    assert device.roofline.bytes_per_s < device.bytes_per_s


@pytest.mark.parametrize(
    ("reported", "name"),
    [
        ("TITAN Xp", "titanxp"),
        ("NVIDIA TITAN Xp", "titanxp"),
        ("NVIDIA A10", "a10"),
        ("NVIDIA A100 80GB PCIe", "a100-80gb-pcie"),
    ],
)
def test_gpu_is_recognized_by_its_driver_name(reported: str, name: str) -> None:
    device = recognize_gpu(reported)
    assert device is not None
    assert device.name == name


def test_unknown_device_is_not_guessed() -> None:
    assert recognize_gpu("NVIDIA A10G") is None
    assert recognize_cpu(frozenset({"sse2"})) is None
    with pytest.raises(UnknownDevice, match=r"'h10'. Did you mean h100 or a10\? Run nastool devices"):
        find_known("h10")


def test_cpu_is_recognized_by_its_widest_instructions() -> None:
    devices = [recognize_cpu(frozenset(flags)) for flags in ({"sse2", "avx2"}, {"avx2", "avx512f"}, {"fp", "asimd"})]
    assert [device.name for device in devices if device] == ["x86-avx2", "x86-avx512", "arm64-neon"]
