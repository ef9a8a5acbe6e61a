"""Makes torch's ONNX exporter quiet and faster."""

import gc
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from functools import cache
from io import StringIO
from typing import Any

CHATTY_LOGGERS = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress the exporter's progress on stdout and its deprecation warnings."""
    loggers = [logging.getLogger(name) for name in CHATTY_LOGGERS]
    levels = [logger.level for logger in loggers]
    with ExitStack() as stack:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(logging.CRITICAL)
            stack.callback(logger.setLevel, level)
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.enter_context(redirect_stdout(StringIO()))
        stack.enter_context(redirect_stderr(StringIO()))
        yield


@contextmanager
def quick() -> Iterator[None]:
    """Reuse torch's table of operators between exports, and postpone garbage collection.

    For every export, torch parses the Python source of its 500 ONNX functions again, which is half of the time of an
    export (0.45 of 0.9 CPU-seconds for a choice block). The table depends only on the opset and exports do not change
    it. It is private to torch: if it has moved, exports are slower and equally correct.
    """
    collecting = gc.isenabled()
    gc.disable()  # tracing creates many objects, and each collection visits all objects of torch: a tenth of the time
    try:
        with _kept_registry():
            yield
    finally:
        if collecting:
            gc.enable()


@contextmanager
def _kept_registry() -> Iterator[None]:
    try:
        from torch.onnx._internal.exporter._registration import ONNXRegistry

        original = vars(ONNXRegistry)["from_torchlib"]
    except (ImportError, KeyError):
        yield
        return
    kept = staticmethod(_registry_builder())
    ONNXRegistry.from_torchlib = kept  # type: ignore[method-assign]
    try:
        yield
    finally:
        ONNXRegistry.from_torchlib = original  # type: ignore[method-assign]


@cache
def _registry_builder() -> Callable[..., Any]:
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    return cache(ONNXRegistry.from_torchlib)
