"""ONNX Runtime with its CUDA or TensorRT provider: whether it runs on this machine, and sessions.

On a GPU the host launches each kernel, since the CUDA graphs of both providers are off; latencies include the launches.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from functools import cache, partial
from io import StringIO

import onnxruntime as ort

from exporters.agent.session import Session, session_options, share_memory
from exporters.cuda import memory
from exporters.cuda.device_memory import DeviceMemory
from exporters.cuda.provider_library import missing_library
from exporters.cuda.timing import GpuTimer

CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
NEEDED = {CUDA: "CUDA and cuDNN", TENSORRT: "CUDA, cuDNN and TensorRT"}
WARNINGS, FATAL = 2, 4  # log levels of ONNX Runtime
# y = Relu(x), float32 of shape (1,), in opset 17 and IR 8, which all recent releases of ONNX Runtime read
RELU = bytes.fromhex(
    "08083a350a0c0a0178120179220452656c7512037472795a0f0a0178120a0a08080112040a020801620f0a0179120a0a0808"
    "0112040a02080142040a001011"
)


def unavailable_reason(provider: str, gpu: str) -> str | None:
    """Why a provider cannot run on a GPU of this machine and what to do about it, or None if it can.

    It tries to load the provider: the list of providers only contains those that the wheel was built with.

    Args:
        gpu: the PCI bus id of the GPU; "" for the first GPU of CUDA.
    """
    if provider not in ort.get_available_providers():
        return f"this build of onnxruntime has no {provider}. Run pip install onnxruntime-gpu"
    if not _has_nvidia_driver():
        return "there is no NVIDIA driver on this machine. Use one with an NVIDIA GPU and its driver"
    if gpu and (reason := memory.unavailable_reason(gpu)):
        return reason
    if not _loads(provider, memory.ordinal_of(gpu)):
        cannot = f"onnxruntime {ort.__version__} cannot load {provider}"
        if provider == TENSORRT and (reason := missing_library()):
            return f"{cannot}: {reason}"
        needed = NEEDED.get(provider, "its")
        return (
            f"{cannot}. Install {needed} libraries of the versions on https://onnxruntime.ai/docs/execution-providers"
        )
    return memory.unavailable_reason()


def load_on_gpu(path: str, provider: str, gpu: str, batch: int, threads: int, integer_fusions: bool = True) -> Session:
    """A session on a GPU.

    Args:
        gpu: the PCI bus id of the GPU; "" for the first GPU of CUDA.

    Raises:
        BackendUnavailable: the GPU cannot be used, or its memory is full.
        Exception: ONNX Runtime cannot load or run the file; its errors have no common base class.
    """
    share_memory()
    device = memory.open_memory(gpu)
    try:
        options = session_options(threads, integer_fusions)
        session = ort.InferenceSession(path, options, providers=[(provider, _provider_options(provider, device))])
        return Session(session, batch, threads, device, partial(GpuTimer, device))
    except Exception:
        device.close()
        raise


def _provider_options(provider: str, gpu: DeviceMemory) -> dict[str, str]:
    """Run GPU calls on our stream, whose events time them."""
    options = {"device_id": str(gpu.ordinal), "user_compute_stream": str(gpu.stream)}
    # TF32 (10 bits of mantissa) is on by default; the TensorRT provider has no such option
    return {**options, **({"use_tf32": "0"} if provider == CUDA else {})}


def _has_nvidia_driver() -> bool:
    for library in ("libcuda.so.1", "nvcuda.dll"):
        try:
            ctypes.CDLL(library)
        except OSError:
            continue
        return True
    return False


@cache
def _loads(provider: str, ordinal: int) -> bool:
    """Whether a session uses this provider; ONNX Runtime falls back to the CPU silently."""
    with _silent():
        if hasattr(ort, "preload_dlls"):  # since 1.21; it finds the libraries that torch's wheels brought
            ort.preload_dlls()
        try:
            session = ort.InferenceSession(RELU, providers=[(provider, {"device_id": str(ordinal)})])
        except Exception:  # onnxruntime's errors have no common base class
            return False
    return bool(session.get_providers()[0] == provider)


@contextmanager
def _silent() -> Iterator[None]:
    """Silence what ONNX Runtime prints if a provider cannot be loaded; our error message has the reason."""
    ort.set_default_logger_severity(FATAL)
    try:
        with redirect_stdout(StringIO()):
            yield
    finally:
        ort.set_default_logger_severity(WARNINGS)
