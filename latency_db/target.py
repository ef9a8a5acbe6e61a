"""The target that a latency belongs to. Two latencies compare only if all of it is the same."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Target:
    """Device, runtime and protocol of a measurement."""

    device_model: str
    device_cores: int
    backend: str
    backend_version: str
    provider: str
    precision: str
    batch: int
    threads: int
    affinity: str  # the CPUs that the process may run on, as "0,1"
    os: str
    exporter: str
    protocol_version: int
    device_kind: str  # cpu, gpu, or estimate
    capability: str  # a GPU's compute capability, as "8.6"
    driver: str  # "" where there is none to name
    compute_precision: str  # what the compiled network computes in; it should be what was asked
    clocks: str  # as "governor performance, turbo on", "floating", "locked 1404 MHz"

    @property
    def estimate(self) -> bool:
        """Whether its figures were computed from a device's rates; then nothing of it was measured."""
        return self.device_kind == "estimate"

    @cached_property
    def id(self) -> str:
        """16 hex digits that change when any field does."""
        text = json.dumps(self.as_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Target":
        """The target of `as_dict`.

        Raises:
            TypeError: a field is missing or unknown.
        """
        return cls(**values)

    def differences(self, other: "Target") -> tuple[str, ...]:
        """Each field that differs, as `threads: 1 here, 2 there`."""
        return tuple(
            f"{field.name}: {getattr(self, field.name)} here, {getattr(other, field.name)} there"
            for field in fields(self)
            if getattr(self, field.name) != getattr(other, field.name)
        )

    def main_differences(self, other: "Target") -> tuple[str, ...]:
        """`differences` in short: of another device's target the device alone, as most of the rest follows from it."""
        found = self.differences(other)
        return tuple(each for each in found if each.startswith(("device_model:", "device_kind:"))) or found
