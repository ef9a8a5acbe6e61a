"""Shared by the items of the GPU report: the device, the way an item answers, and the time of calls."""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import NoReturn

from cli.openmp import SPINCOUNT

os.environ.setdefault("GOMP_SPINCOUNT", SPINCOUNT)  # before torch loads

import torch

CANNOT_RUN = "cannot_run"  # key of the reason in an item's answer


def device() -> torch.device:
    """The first GPU; without one the CPU, on which items try their code with small sizes."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def has_gpu() -> bool:
    return torch.cuda.is_available()


def answer(results: Mapping[str, object]) -> None:
    """Print the results of an item as the last line."""
    print(json.dumps(results))


def cannot(reason: str) -> NoReturn:
    """End the item with the reason why it cannot run here."""
    answer({CANNOT_RUN: reason})
    sys.exit(0)


def median_ms(call: Callable[[], object], calls: int) -> float:
    """The median time of a call in ms, after one that is not counted."""
    _timed_ms(call)
    return round(median(_timed_ms(call) for _ in range(calls)), 3)


def peak_mib(call: Callable[[], object]) -> float | None:
    """The peak of the GPU's memory during a call in MiB; None without a GPU."""
    if not has_gpu():
        call()
        return None
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    call()
    torch.cuda.synchronize()
    return round(torch.cuda.max_memory_allocated() / 2**20, 1)


def _timed_ms(call: Callable[[], object]) -> float:
    _synchronize()
    began = time.perf_counter()
    call()
    _synchronize()
    return (time.perf_counter() - began) * 1e3


def _synchronize() -> None:
    if has_gpu():
        torch.cuda.synchronize()
