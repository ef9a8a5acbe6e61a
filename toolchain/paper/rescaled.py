"""Networks with one op in all blocks, whose channels are rescaled uniformly to a limit on MACs (paper Table 3).

The scale is solved for exactly: channels are even integers, so the MACs change only at finitely many scales, and the
greatest of these within the limit is computed by bisection.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from toolchain.costs.counters import macs_cost
from toolchain.errors import BadConfig, UnknownSpace
from toolchain.paper.networks import only_architecture
from toolchain.spaces import load_space
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.spaces.model_source import with_option

LEAST, GREATEST = 0.25, 4.0  # scales that are tried


@dataclass(frozen=True)
class Rescaled:
    """A uniform network at the greatest scale within the limit.

    Args:
        space: as text, with the rescaled channels and this op alone.
    """

    op: str
    space: str
    scale: float
    macs: int

    @property
    def architecture(self) -> Architecture:
        """The one architecture of its space."""
        return only_architecture(load_space(self.space))


def rescaled(space: str, op: str, limit: float) -> Rescaled:
    """The network with `op` in all blocks of `space`, its stages rescaled to at most `limit` MACs; stem and head stay.

    Args:
        space: of the family shufflenet_v2, with or without options.

    Raises:
        BadConfig: the space is of another family, or no scale is within the limit.
    """
    if load_space(space).family != "shufflenet_v2":
        raise BadConfig(f"channels are rescaled in spaces of shufflenet_v2, and {space} is another one. Give --space")
    widths = stage_widths(load_space(space))
    scales = breakpoints(widths)
    low, high = 0, len(scales)
    best: Rescaled | None = None
    while low < high:
        middle = (low + high) // 2
        network = _at(space, op, scales[middle], widths)
        if network is None:  # too narrow for a stage to be wider than the one before
            low = middle + 1
        elif network.macs <= limit:
            best, low = network, middle + 1
        else:
            high = middle
    if best is None:
        raise BadConfig(f"all {op} has more than {limit:,.0f} MACs at every scale. Give a larger --macs")
    return best


def breakpoints(widths: Sequence[int]) -> list[float]:
    """The scales at which a rounded width changes, ascending."""
    scales = {(2 * half + 1) / width for width in widths for half in range(int(GREATEST * width / 2))}
    return sorted(scale for scale in scales if LEAST <= scale <= GREATEST)


def scaled_widths(widths: Sequence[int], scale: float) -> tuple[int, ...]:
    """The widths times `scale`, rounded to even numbers, halves upwards."""
    return tuple(2 * int(width * scale / 2 + 0.5 + 1e-9) for width in widths)


def stage_widths(space: SearchSpace) -> tuple[int, ...]:
    """The output channels of each stage."""
    return tuple(block.c_out for block in space.blocks if block.stride == 2)


def _at(space: str, op: str, scale: float, widths: Sequence[int]) -> Rescaled | None:
    """The network at one scale; None if the space cannot have these widths."""
    text = with_option(space, "stage_widths", "-".join(map(str, scaled_widths(widths, scale))))
    text = with_option(with_option(text, "ops", op), "widths", "1.0")
    try:
        scaled = load_space(text)
    except UnknownSpace:
        return None
    return Rescaled(op, text, scale, int(macs_cost(scaled).cost(only_architecture(scaled))))
