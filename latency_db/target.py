"""The target of a latency. Two latencies are comparable only if all of its fields are equal."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

from latency_db.fields import Count, PositiveCount, Text, Values


@dataclass(frozen=True)
class Target:
    """Device, runtime and protocol of a measurement."""

    __pydantic_config__ = Values

    device_model: Text
    device_cores: Count
    backend: Text
    backend_version: Text
    provider: Text
    precision: Text
    batch: PositiveCount
    threads: PositiveCount
    affinity: Text  # the CPUs that the process may run on, e.g. "0,1"
    os: Text
    exporter: Text
    protocol_version: Count
    device_kind: Text  # cpu, gpu, or estimate
    capability: Text  # compute capability of a GPU, e.g. "8.6"
    driver: Text  # "" if there is none
    compute_precision: Text  # what the compiled network computes in
    clocks: Text  # e.g. "governor performance, turbo on", "floating", "locked 1404 MHz"

    @property
    def estimate(self) -> bool:
        """Whether its latencies were computed from the peak rates of a device instead of measured."""
        return self.device_kind == "estimate"

    @cached_property
    def id(self) -> str:
        """16 hex digits, a hash of all fields."""
        text = json.dumps(self.as_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def as_dict(self) -> dict[str, str | int]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Target":
        """The inverse of `as_dict`.

        Raises:
            TypeError: a field is missing or unknown.
        """
        return cls(**values)

    def differences(self, other: "Target") -> tuple[str, ...]:
        """Each field that differs, e.g. `threads: 1 here, 2 there`."""
        return tuple(
            f"{field.name}: {getattr(self, field.name)} here, {getattr(other, field.name)} there"
            for field in fields(self)
            if getattr(self, field.name) != getattr(other, field.name)
        )

    def main_differences(self, other: "Target") -> tuple[str, ...]:
        """`differences` in short: only the device if it differs, since most other fields follow from it."""
        differences = self.differences(other)
        device = tuple(text for text in differences if text.startswith(("device_model:", "device_kind:")))
        return device or differences
