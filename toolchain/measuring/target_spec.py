"""The settings that select a target."""

from dataclasses import dataclass

AUTO = "auto"


@dataclass(frozen=True)
class TargetSpec:
    """The settings that select a target.

    Args:
        device: a name from `nastool devices`.
        backend: a backend with its settings (`fake:noise=0.02`), or `auto`.
        precision: of the files that are measured.
        batch: images in a call.
        threads: CPU threads of the runtime.
        estimate: compute latencies from the known rates of the device, which need not be attached.
    """

    device: str = "cpu"
    backend: str = AUTO
    precision: str = "fp32"
    batch: int = 32
    threads: int = 1
    estimate: bool = False
