"""What a measurement's stack is, field by field."""

import os
import platform
from importlib.metadata import version

from exporters.backends import Backend
from exporters.timing import PROTOCOL_VERSION
from exporters.to_onnx import EXPORTER
from latency_db.context import Context
from latency_db.devices import Device
from toolchain.config import ProfileConfig


def make_context(device: Device, backend: Backend, config: ProfileConfig) -> Context:
    """The identity of `device` with `backend` as it would run now."""
    affinity = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return Context(
        device_model=device.model,
        device_cores=device.cores,
        backend=backend.name,
        backend_version=backend.version(),
        provider=backend.provider,
        precision="fp32",
        batch=config.batch,
        threads=config.threads,
        affinity=",".join(map(str, affinity)),
        os=platform.platform(),
        exporter=f"torch {version('torch')} {EXPORTER}",
        protocol_version=PROTOCOL_VERSION,
    )
