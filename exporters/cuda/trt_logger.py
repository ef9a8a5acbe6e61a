"""The logger of TensorRT, which keeps the errors of a build and the descriptions of its layers."""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any

from exporters.cuda.layer_precision import DESCRIPTION


@cache
def logger_of(trt: ModuleType) -> Any:
    """The logger of a module, which keeps errors and descriptions of layers until `clear`.

    TensorRT uses the first logger that it receives in the whole process.
    """

    class Log(trt.ILogger):  # type: ignore[misc, name-defined]  # the module is an argument
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []
            self.layers: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR):
                self.errors.append(message)
            elif DESCRIPTION in message:
                self.layers.append(message)

        def clear(self) -> None:
            self.errors.clear()
            self.layers.clear()

    return Log()
