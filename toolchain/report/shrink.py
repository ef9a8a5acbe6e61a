"""The picture of `nastool shrink`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from toolchain.report.figures import save

COLORS = ("#0b6e99", "#d1495b")


@dataclass(frozen=True)
class Network:
    """A network: measured latency in ms, hold-out accuracy (0 to 1) with its 95 % interval (Wilson)."""

    name: str
    latency_ms: float
    accuracy: float
    low: float
    high: float


def draw_shrink(
    networks: Sequence[Network], front: Sequence[tuple[float, float]], limit_ms: float, batch: int, path: Path
) -> None:
    """The original and the shrunk network, the budget, and the front of candidates.

    Args:
        front: (predicted latency in ms, inherited hold-out accuracy) of candidates, before fine-tuning.
    """
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    if front:
        label = "front of candidates (inherited weights, predicted latency)"
        axes.plot([x for x, _ in front], [y for _, y in front], "o-", ms=4, color="#b0b0b0", label=label)
    for network, color in zip(networks, COLORS, strict=True):
        label = f"{network.name}: {network.latency_ms:.3g} ms, {network.accuracy:.1%} (95% interval)"
        spread = [[network.accuracy - network.low], [network.high - network.accuracy]]
        axes.errorbar(
            network.latency_ms, network.accuracy, yerr=spread, fmt="*", ms=13, capsize=4, color=color, label=label
        )
    axes.axvline(limit_ms, color="#333333", linestyle=":", label=f"budget {limit_ms:.4g} ms")
    axes.set(xlabel=f"measured latency (ms a batch of {batch})", ylabel="hold-out accuracy", title="Before and after")
    axes.set_xlim(left=0)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.grid(alpha=0.3)
    figure.legend(fontsize="small", loc="outside lower center")
    save(figure, path)
