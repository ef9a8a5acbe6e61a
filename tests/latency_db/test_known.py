"""devices.toml: every figure has a source and a sane size."""

import re

import pytest

from latency_db.errors import UnknownDevice
from latency_db.known import KnownDevice, find_known, known, recognise_cpu, recognise_gpu

GPUS = [device for device in known() if device.kind == "gpu"]


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
def test_figures_are_in_the_right_units(device: KnownDevice) -> None:
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


def test_titan_xp() -> None:
    """The paper's device. 12.15 TFLOP/s and 547.6 GB/s are the maker's figures; the constants were fitted."""
    device = find_known("titan-xp")
    assert (device.name, device.capability, device.last_tensorrt) == ("titanxp", "6.1", "8.6")
    assert (device.fp32_flops_per_s, device.bytes_per_s) == (pytest.approx(12.15e12), pytest.approx(547.6e9))
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
def test_a_gpu_is_recognised_by_what_its_driver_says(reported: str, name: str) -> None:
    device = recognise_gpu(reported)
    assert device is not None
    assert device.name == name


def test_what_is_not_known_is_not_guessed() -> None:
    assert recognise_gpu("NVIDIA A10G") is None
    assert recognise_cpu(frozenset({"sse2"})) is None
    with pytest.raises(UnknownDevice, match=r"'h10'. Did you mean h100 or a10\? Type nastool devices"):
        find_known("h10")


def test_a_cpu_belongs_to_the_class_of_its_widest_instructions() -> None:
    found = [recognise_cpu(frozenset(flags)) for flags in ({"sse2", "avx2"}, {"avx2", "avx512f"}, {"fp", "asimd"})]
    assert [device.name for device in found if device] == ["x86-avx2", "x86-avx512", "arm64-neon"]
