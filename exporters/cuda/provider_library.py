"""Which TensorRT library ONNX Runtime's TensorRT provider was linked with, and which TensorRT is installed."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import onnxruntime

LIBRARY = re.compile(rb"libnvinfer\.so\.(\d+)|nvinfer_(\d+)\.dll")
DISTRIBUTIONS = ("tensorrt", "tensorrt-cu13", "tensorrt-cu12")


def missing_library() -> str | None:
    """Why the provider cannot load TensorRT and what to install; None if the major versions agree or are unknown."""
    return mismatch(linked_version(Path(onnxruntime.__file__).parent / "capi"), installed_version())


def mismatch(linked: int | None, installed: str | None) -> str | None:
    """The difference of two versions in words, with its remedy; None if there is none.

    Args:
        linked: major version that the provider was linked with.
        installed: full version of the installed TensorRT.
    """
    if linked is None or (installed and installed.split(".")[0] == str(linked)):
        return None
    here = f"TensorRT {installed} is installed" if installed else "no TensorRT is installed"
    return f"it needs libnvinfer.so.{linked}, and {here}. Run pip install 'tensorrt>={linked},<{linked + 1}'"


def linked_version(folder: Path) -> int | None:
    """The major version of libnvinfer that the provider's library in `folder` names, or None."""
    for path in folder.glob("*onnxruntime_providers_tensorrt*"):
        if match := LIBRARY.search(path.read_bytes()):
            return int(match[1] or match[2])
    return None


def installed_version() -> str | None:
    """The version of the installed TensorRT, or None."""
    for name in DISTRIBUTIONS:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None
