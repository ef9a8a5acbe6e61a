"""The functions of `import nastool`, for notebooks and pipelines. The commands call the same functions below them."""

from toolchain.api.job import run
from toolchain.api.measure import check, profile
from toolchain.api.runs import ExportedFiles, LoadedRun, Measured, RunWinner, list_runs, load_run
from toolchain.api.space import Latency, Space
from toolchain.errors import NastoolError

__all__ = [
    "ExportedFiles",
    "Latency",
    "LoadedRun",
    "Measured",
    "NastoolError",
    "RunWinner",
    "Space",
    "check",
    "list_runs",
    "load_run",
    "profile",
    "run",
]
