"""A file that is loaded on a remote device: run and timed there."""

from collections.abc import Mapping
from itertools import count
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporters import errors
from exporters.agent.arrays import pack, unpack
from exporters.errors import DeviceFailed, ExporterError
from exporters.remote.connection import ANSWER_S, Connection, RemoteError
from exporters.remote.content import require_size
from exporters.remote.messages import Loaded, Outputs, TimingReply
from exporters.timing import Timing

ENGINE_S = 7200.0  # longest time until an engine is built: a small board times thousands of kernels
# Errors of the device that are those of the workstation as well; all others are the device's
SHARED = ("BackendUnavailable", "EngineFailed", "NotOnnx")
_NUMBERS = count(1)


class Session:
    """A file that is loaded on a remote device.

    Args:
        number: of the session on the device.
    """

    def __init__(self, connection: Connection, number: int) -> None:
        self._connection = connection
        self._number = number
        self._requested: int | None = None

    @property
    def queue(self) -> Connection:
        """What answers the requests."""
        return self._connection

    def request(self, min_ms: float) -> None:
        """Request a timing ahead, so that the device does not wait between two files."""
        self._requested = self._connection.submit("time", session=self._number, min_ms=min_ms)

    def time(self, min_ms: float) -> Timing:
        if self._requested is None:
            self.request(min_ms)
        number, self._requested = self._requested, None
        assert number is not None
        try:
            return self._connection.answer(number, TimingReply)[0].timing
        except RemoteError as problem:
            raise self._failed("time", problem) from None

    def run(self, feeds: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        shapes, raw = pack(feeds)
        require_size(len(raw), "the batch")
        try:
            outputs, content = self._connection.request("run", Outputs, raw, session=self._number, inputs=shapes)
        except RemoteError as problem:
            raise self._failed("run", problem) from None
        return self._arrays(outputs.outputs, content)

    def close(self) -> None:
        self._connection.release("close", session=self._number)

    def _arrays(self, shapes: Mapping[str, tuple[int, ...]], content: bytes) -> dict[str, NDArray[np.float32]]:
        if 4 * sum(map(prod, shapes.values())) != len(content):
            raise DeviceFailed(
                f"{self._connection.name} sent outputs that do not have the announced shapes. Run the command again"
            )
        return unpack(shapes, content)

    def _failed(self, action: str, problem: RemoteError) -> ExporterError:
        name = self._connection.name
        return translated(problem, name) or DeviceFailed(
            f"{name} cannot {action} a file: {problem}. Run nastool doctor --device {name}"
        )


def load(connection: Connection, digest: str, **how: Any) -> Session:
    """Load a file that was uploaded. (ONNX Runtime's TensorRT provider builds engines as well.)

    Args:
        how: the arguments of `exporters.agent.requests.Agent.load`.

    Raises:
        RemoteError: the device cannot load it.
        ConnectionLost, DeviceFailed: the device cannot be used any more.
    """
    number = next(_NUMBERS)
    timeout_s = ANSWER_S if how.get("gpu") is None else ENGINE_S
    loaded, _ = connection.request("load", Loaded, timeout_s=timeout_s, session=number, digest=digest, **how)
    connection.peak_bytes[digest] = loaded.peak_bytes
    return Session(connection, number)


def load_engine(connection: Connection, spec: Mapping[str, Any], batch: int) -> Session:
    """Load an engine, which the device builds first if it has to.

    Args:
        spec: the fields of `exporters.cuda.engine_cache.EngineSpec`.

    Raises:
        NotOnnx, EngineFailed, BackendUnavailable: the engine cannot be built, loaded or run there.
        ConnectionLost, DeviceFailed: the device cannot be used any more.
    """
    number = next(_NUMBERS)
    try:
        connection.request("load_engine", Loaded, timeout_s=ENGINE_S, session=number, spec=dict(spec), batch=batch)
    except RemoteError as problem:
        raise engine_error(problem, connection.name) from None
    return Session(connection, number)


def engine_error(problem: RemoteError, name: str) -> ExporterError:
    """The error of a request about an engine."""
    return translated(problem, name) or DeviceFailed(
        f"TensorRT on {name} failed: {problem}. Run nastool doctor --device {name}"
    )


def translated(problem: RemoteError, name: str) -> ExporterError | None:
    """An error of the code that runs on both sides, of its own class; None for others."""
    if problem.kind not in SHARED:
        return None
    error: ExporterError = getattr(errors, problem.kind)(f"on {name}: {problem}")
    return error
