"""What the picture of a benchmark shows of a file."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Point:
    """A file: latency in ms with its interval; accuracy 0 to 1 with its 95 % interval, None where unknown."""

    name: str
    latency_ms: float
    ends_ms: tuple[float, float]
    accuracy: tuple[float, float, float] | None
