"""Reads the header of an engine file; this needs neither its runtime nor a GPU.

A plan begins with a magic tag of four bytes. Those of TensorRT 8 to 11 begin with `ftrt`, those of TensorRT-RTX with
`vtrt`, and the latter have the size of the whole file at byte 16 (its runtime asserts `plan.header.size == blobSize`;
tests hold both to plans that are built). Engines of the backend fake begin with `fake` and have their size there too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from exporters.errors import EngineFailed

SUFFIX = ".engine"
UNKNOWN = "unknown"  # the precision of an engine that no manifest describes: each layer has its own
FAKE = "fake"
RUNTIMES: Mapping[bytes, str] = MappingProxyType({b"ftrt": "tensorrt", b"vtrt": "tensorrt_rtx", b"fake": FAKE})
WITH_SIZE = ("tensorrt_rtx", FAKE)
HEADER_BYTES = 64  # Runtime.engine_header_size of TensorRT-RTX 1.7
SIZE_AT = 16


def runtime_of(path: Path) -> str:
    """The backend that built an engine and is the only one that runs it: `tensorrt`, `tensorrt_rtx` or `fake`.

    Raises:
        EngineFailed: the file is missing, truncated, or not an engine.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            header = file.read(HEADER_BYTES)
    except OSError as problem:
        raise EngineFailed(
            f"{path} cannot be read: {problem.strerror}. Run nastool export --engine or --sm, or name another file"
        ) from None
    runtime = RUNTIMES.get(header[:4])
    if runtime is None:
        raise EngineFailed(f"{path} is not an engine of TensorRT or TensorRT-RTX. Build it again, or name another file")
    stated = int.from_bytes(header[SIZE_AT : SIZE_AT + 8], "little") if runtime in WITH_SIZE else size
    if size < HEADER_BYTES or stated != size:
        raise EngineFailed(f"{path} is damaged: {size} bytes of {max(stated, HEADER_BYTES)} are there. Build it again")
    return runtime
