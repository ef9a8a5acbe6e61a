"""torch's ONNX exporter, kept quiet and spared the work that it would repeat."""

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
    """The exporter tells its progress on stdout, and warns of its own deprecations."""
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
    """Keep torch's table of operators from one export to the next, and collect garbage afterwards.

    For every export torch parses the Python source of its 500 ONNX functions again, which is half of an
    export's time (0.45 of 0.9 CPU-seconds for a choice block). The table depends on the opset alone and an
    export only reads it. It is a private part of torch: where it has moved, exports take longer and are as
    right.
    """
    collecting = gc.isenabled()
    gc.disable()  # tracing makes many objects, and each collection walks all of torch's: a tenth of an export
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
