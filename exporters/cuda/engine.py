"""A built engine: its plan, and the batches that it takes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from exporters.files import write_whole

CURRENT = "current"  # the GPU of this machine


@dataclass(frozen=True)
class BatchRange:
    """The least and the most images that an engine takes, and the number that it is tuned for; equal if static."""

    least: int
    best: int
    most: int

    @classmethod
    def static(cls, batch: int) -> BatchRange:
        return cls(batch, batch, batch)

    def __post_init__(self) -> None:
        if not 0 < self.least <= self.best <= self.most:
            raise ValueError(
                f"batches must be 0 < least <= best <= most (given: {self.least}, {self.best}, {self.most})"
            )

    @property
    def as_tuple(self) -> tuple[int, int, int]:
        return self.least, self.best, self.most

    @property
    def is_static(self) -> bool:
        return self.least == self.most


@dataclass(frozen=True)
class Engine:
    """A serialized engine: the plan, its compute capability ("8.6", or "current"), and its builder.

    `convolutions` counts those in each precision; it is empty if the builder does not tell.
    """

    plan: bytes
    capability: str
    built_by: str  # "tensorrt_rtx 1.7.1.116"
    convolutions: Mapping[str, int] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.plan).hexdigest()

    def save(self, path: Path) -> None:
        """Write the plan atomically. The file holds only the plan, so that any TensorRT program can load it.

        Raises:
            OSError: it cannot be written.
        """
        write_whole(path, self.plan)
