"""The devices of this machine, and what is known of those that are not here."""

import os

import pytest

from exporters.cuda.nvml import Gpu, gpu_conditions, gpus
from exporters.devices import attached as attached_devices
from exporters.devices.attached import Device, attached, find
from exporters.devices.known import known
from exporters.errors import DeviceMissing, UnknownDevice

H100 = Gpu(0, "NVIDIA H100 80GB HBM3", "GPU-aa", "0000:01:00.0", "9.0", "580.1", 80 * 10**9, 16896)


def test_this_machines_cpu_is_attached() -> None:
    cpu = find("cpu")
    assert cpu in attached()
    assert cpu.model
    assert 1 <= cpu.cores <= (os.cpu_count() or 1)
    assert cpu.uid.startswith("cpu-")
    assert cpu.conditions()["load_1min"] >= 0


def test_a_cpu_is_named_by_its_class() -> None:
    cpu = find("cpu")
    assert cpu.known, "this machine has none of the instruction sets in devices.toml"
    assert find(cpu.known.upper()) == cpu
    others = [device.name for device in known() if device.kind == "cpu" and device.name != cpu.known]
    for other in others:
        with pytest.raises(DeviceMissing):
            find(other)


def test_an_unknown_device_is_answered_with_those_there_are() -> None:
    with pytest.raises(UnknownDevice) as caught:
        find("tpu-v9")
    text = str(caught.value)
    assert "'tpu-v9' is not attached" in text
    assert f"cpu ({find('cpu').model})" in text
    assert "--device cpu" in text
    assert "nastool devices" in text
    assert caught.value.exit_code == 2
    with pytest.raises(UnknownDevice, match=r"Did you mean .*titanxp"):
        find("titanpx")


@pytest.mark.skipif(any(d.known == "titanxp" for d in attached()), reason="here is a Titan Xp")
@pytest.mark.parametrize("name", ["titanxp", "TitanXp", "titan-xp"])
def test_a_known_device_that_is_not_here_says_what_can_be_had(name: str) -> None:
    with pytest.raises(DeviceMissing) as caught:
        find(name)
    text = str(caught.value)
    assert caught.value.exit_code == 5
    for piece in (
        "titanxp (NVIDIA TITAN Xp) is not attached to this machine",
        f"Attached: cpu ({find('cpu').model})",
        "nastool profile --device titanxp --estimate for an estimate",  # check has no such flag
        "nastool db import FILE",
        "onnxruntime's CUDA provider in a build for CUDA 12, or TensorRT 8.6",
    ):
        assert piece in text


@pytest.mark.skipif(any(d.known == "b200" for d in attached()), reason="here is a B200")
def test_an_estimate_is_offered_only_where_rates_are_known() -> None:
    with pytest.raises(DeviceMissing) as caught:
        find("b200")
    assert "--estimate" not in str(caught.value)


def test_gpus_are_named_by_kind_index_and_uuid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two H100 and a card that devices.toml does not have, as NVML would report them."""
    second = Gpu(1, H100.name, "GPU-bb", "0000:02:00.0", "9.0", "580.1", 80 * 10**9, 16896)
    third = Gpu(2, "NVIDIA Something New", "GPU-cc", "0000:03:00.0", "13.0", "580.1", 10**9, 100)
    monkeypatch.setattr(attached_devices, "gpus", lambda: (H100, second, third))
    names = {device.uid: device.name for device in attached()[1:]}
    assert names == {"GPU-aa": "h100", "GPU-bb": "gpu1", "GPU-cc": "gpu2"}
    for name, uid in {
        "h100": "GPU-aa",
        "h100-sxm": "GPU-aa",
        "gpu": "GPU-aa",
        "gpu0": "GPU-aa",
        "GPU1": "GPU-bb",
        "gpu-cc": "GPU-cc",
    }.items():
        assert find(name).uid == uid
    device = find("h100")
    assert device == Device(
        "h100", "gpu", H100.name, 16896, "GPU-aa", device.aliases, "h100", "9.0", "580.1", 80 * 10**9, "0000:01:00.0"
    )


def test_gpus_come_from_the_driver_and_a_missing_one_is_no_error() -> None:
    """With a driver, it is the real one that answers."""
    attached = gpus()
    assert len({gpu.uuid for gpu in attached}) == len(attached)
    for gpu in attached:
        assert gpu.name
        assert gpu.driver
        assert gpu_conditions(gpu.uuid)["temperature_c"] > 0
    if not attached:
        assert gpu_conditions("GPU-none") == {}
