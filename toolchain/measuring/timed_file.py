"""A file to time."""

from dataclasses import dataclass
from pathlib import Path

from exporters.graph.model import Model
from toolchain.measuring.target import ReadyTarget


@dataclass(frozen=True)
class TimedFile:
    """A file and the target that it is timed on."""

    file: Path | Model
    target: ReadyTarget
