"""The logger of TensorRT, which keeps the errors of a build."""

from functools import cache
from types import ModuleType
from typing import Any


@cache
def logger_of(trt: ModuleType) -> Any:
    """The logger of a module, which keeps errors until `clear`.

    TensorRT uses the first logger that it receives in the whole process.
    """

    class Log(trt.ILogger):  # type: ignore[misc, name-defined]  # the module is an argument
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR):
                self.errors.append(message)

        def clear(self) -> None:
            self.errors.clear()

    return Log()
