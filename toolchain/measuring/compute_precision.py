"""The precision in which a backend computes files of a precision."""

import platform

from exporters.agent.session import CPU
from exporters.backends import Backend, onnxruntime
from exporters.backends.roofline import Backend as Roofline
from exporters.devices.attached import Device
from exporters.errors import OtherPrecision


def compute_precision(backend: Backend, precision: str, device: Device | None = None) -> str:
    """The precision in which `backend` computes files of `precision`.

    Args:
        device: that it runs on; None for an estimate.

    Raises:
        OtherPrecision: it would compute in another one, so the latency would not be that of the file's precision.
    """
    provider = backend.provider
    architecture = device.machine().architecture if device else platform.machine()
    if provider == CPU and precision == "fp16" and architecture in ("x86_64", "AMD64"):
        raise OtherPrecision(
            "onnxruntime computes fp16 files in fp32 on x86 CPUs, with casts round each layer: the file is smaller, "
            "and slower",
            'Profile and search in fp32 (--precision fp32, or precision = "fp32" under [profile] in nastool.toml), or '
            "in fp16 on a GPU",
        )
    if isinstance(backend, Roofline) and precision != "fp32":
        raise OtherPrecision(
            f"estimates are made in fp32, not in {precision}",
            'Give --precision fp32, or write precision = "fp32" under [profile] in nastool.toml',
        )
    if provider == onnxruntime.TENSORRT and precision == "fp16":
        raise OtherPrecision(
            "onnxruntime's TensorRT provider builds weakly typed engines, which may compute an fp16 file in fp32",
            "Give --precision fp32, or --backend tensorrt or onnxruntime, which compute fp16 as it is written",
        )
    if provider == onnxruntime.TENSORRT and precision == "fp32":
        return "tf32"  # its engines are built with TensorRT's default, and there is no option to change that
    return precision
