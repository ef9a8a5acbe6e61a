"""The device and backend that a configuration names, and what their stack is, field by field."""

import os
import platform
from importlib.metadata import version

from exporters import backends
from exporters.backends import Backend
from exporters.errors import BackendUnavailable
from exporters.timing import PROTOCOL_VERSION
from exporters.to_onnx import EXPORTER
from latency_db.context import Context
from latency_db.devices import Device, find
from toolchain.config import ProfileConfig
from toolchain.profiling.fitted import REGRESSION, fitted_context


def usable_backend(config: ProfileConfig) -> Backend:
    """The backend that the configuration names.

    Raises:
        BackendUnavailable: unknown, or it can't run here; the message has the reason and the remedy.
    """
    if config.backend == REGRESSION:
        raise BackendUnavailable(
            "tables of the backend regression are fitted to networks that were measured elsewhere, and nothing can be "
            "measured with it here. Type nastool db fit, or give another --backend"
        )
    backend = backends.load(config.backend)
    if reason := backend.why_not():
        raise BackendUnavailable(f"the backend {config.backend} can't run here: {reason}")
    return backend


def context_of(config: ProfileConfig) -> Context:
    """The stack that measurements under this configuration belong to.

    Raises:
        UnknownDevice, BackendUnavailable: it isn't here.
    """
    if config.backend == REGRESSION:
        return fitted_context(config)
    return make_context(find(config.device), usable_backend(config), config)


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
        device_kind=device.kind,
        capability="",
        driver="",
        precision_found="fp32",
        clocks="",
    )
