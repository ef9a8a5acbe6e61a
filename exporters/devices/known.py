"""Known devices: their published rates with sources, from devices.toml."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import resources
from typing import Any

from exporters.errors import UnknownDevice

GIGA, TERA = 1e9, 1e12


@dataclass(frozen=True)
class Roofline:
    """Constants of an additive model: seconds = flops / flops_per_s + bytes / bytes_per_s, over all layers."""

    flops_per_s: float
    bytes_per_s: float
    source: str
    fitted_on: str  # measurements that cannot test it, because it was fitted to them


@dataclass(frozen=True)
class KnownDevice:
    """Published data of a device; None or "" if unpublished or different between its versions."""

    name: str
    kind: str  # gpu or cpu
    aliases: tuple[str, ...] = ()
    vendor_names: tuple[str, ...] = ()  # as the driver reports it, without the prefix "NVIDIA "
    cpu_flags: tuple[str, ...] = ()  # instruction sets of a class of CPUs
    capability: str = ""  # compute capability, as "6.1"
    fp32_flops_per_s: float | None = None
    fp16_flops_per_s: float | None = None
    int8_ops_per_s: float | None = None
    bytes_per_s: float | None = None  # of its memory
    memory_bytes: float | None = None
    last_tensorrt: str = ""  # "" if the current one runs on it
    runs_with: str = ""
    sources: tuple[str, ...] = ()
    roofline: Roofline | None = None

    @property
    def model(self) -> str:
        """The vendor's name."""
        return f"NVIDIA {self.vendor_names[0]}" if self.vendor_names else f"CPUs with {', '.join(self.cpu_flags)}"

    @property
    def can_be_estimated(self) -> bool:
        """Whether a roofline can be computed: from fitted constants, or from a peak rate and a bandwidth."""
        return self.roofline is not None or None not in (self.fp32_flops_per_s, self.bytes_per_s)


@cache
def known() -> tuple[KnownDevice, ...]:
    """All known devices."""
    text = (resources.files("exporters.devices") / "devices.toml").read_text(encoding="utf-8")
    return tuple(_device(name, values) for name, values in tomllib.loads(text).items())


def look_up(name: str) -> KnownDevice | None:
    """The known device of that name or alias; case does not matter."""
    lower = name.lower()
    return next((device for device in known() if lower in (device.name, *device.aliases)), None)


def find_known(name: str) -> KnownDevice:
    """The known device of that name or alias.

    Raises:
        UnknownDevice: there is none; the message has similar names.
    """
    if device := look_up(name):
        return device
    raise UnknownDevice(f"unknown device {name!r}.{near(name)} Run nastool devices for a list of all known devices")


def near(name: str) -> str:
    """A suggestion of similar names, ` Did you mean titanxp or titan-xp?`, or an empty text."""
    names = [name for device in known() for name in (device.name, *device.aliases)]
    similar = get_close_matches(name.lower(), names, n=3)
    return f" Did you mean {' or '.join(similar)}?" if similar else ""


def recognize_gpu(vendor_name: str) -> KnownDevice | None:
    """The known device with this name of its driver."""
    bare = _bare(vendor_name)
    return next((d for d in known() if d.kind == "gpu" and bare in map(_bare, d.vendor_names)), None)


def recognize_cpu(flags: frozenset[str]) -> KnownDevice | None:
    """The class of CPUs with the widest instructions among `flags`."""
    return next((d for d in known() if d.kind == "cpu" and flags.issuperset(d.cpu_flags)), None)


def _bare(vendor_name: str) -> str:
    return vendor_name.removeprefix("NVIDIA ").lower()


def _device(name: str, values: Mapping[str, Any]) -> KnownDevice:
    def times(key: str, unit: float) -> float | None:
        return values[key] * unit if key in values else None

    return KnownDevice(
        name=name,
        kind=values["kind"],
        aliases=tuple(values.get("aliases", ())),
        vendor_names=tuple(values.get("vendor_names", ())),
        cpu_flags=tuple(values.get("cpu_flags", ())),
        capability=values.get("capability", ""),
        fp32_flops_per_s=times("fp32_tflops", TERA),
        fp16_flops_per_s=times("fp16_tflops", TERA),
        int8_ops_per_s=times("int8_tops", TERA),
        bytes_per_s=times("bandwidth_gb_s", GIGA),
        memory_bytes=times("memory_gb", GIGA),
        last_tensorrt=values.get("last_tensorrt", ""),
        runs_with=values.get("runs_with", ""),
        sources=tuple(values["sources"]),
        roofline=Roofline(**values["roofline"]) if "roofline" in values else None,
    )
