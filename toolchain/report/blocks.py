"""An architecture block by block, as pictures and reports show it: maps, choice, width, bits and share of a cost."""

import re

from toolchain.costs.core import TableCost
from toolchain.files import Count, Document, Share
from toolchain.report.colors import Look
from toolchain.spaces.core import Architecture, Choice, ChoiceBlock, SearchSpace
from toolchain.spaces.mbconv import SKIP

EXPANSION = re.compile(r"k\d+e(\d+)(?:g\d+)?")  # the op of an inverted bottleneck: `k5e6`, `k3e1g2`


class BlockPart(Document):
    """One block of an architecture.

    Args:
        geometry: channels, map size and stride: `64x56px->160s2`.
        out_px, out_channels: size and channels of its output maps.
        choice: key of the selected choice.
        op: its module; `skip` is the identity.
        width: its relative width.
        height: channels inside the block relative to the widest choice of the space, 0 to 1; 0 for `skip`.
        bits: bit widths of weights and activations; None in float32.
        cost: in the unit of the network's cost.
        share: of the network's cost, 0 to 1.
    """

    geometry: str
    out_px: Count
    out_channels: Count
    choice: str
    op: str
    width: float
    height: Share
    bits: tuple[int, int] | None
    cost: float
    share: float

    @property
    def look(self) -> Look:
        """What its color depends on."""
        return Look(self.op, *(self.bits or ()))


class NetworkParts(Document):
    """An architecture block by block.

    Args:
        title: what it is, for people.
        cost: name of the cost that is divided among the parts, as `latency_ms`.
        unit: of the cost.
        total: cost of the whole network.
        fixed: what no block has: stem, head, and the constant of a latency model.
    """

    title: str
    space: str
    architecture: tuple[str, ...]
    cost: str
    unit: str
    total: float
    fixed: float
    fixed_share: float
    blocks: tuple[BlockPart, ...]


def network_parts(space: SearchSpace, arch: Architecture, cost: TableCost, title: str) -> NetworkParts:
    """`arch` with the share of each block in `cost`."""
    total = cost.cost(arch)
    widest = max(_channels(choice) for block in space.blocks for choice in block.choices)
    parts = [
        _part(block, choice, row[choice.key], total, widest)
        for block, choice, row in zip(space.blocks, space.choices_of(arch), cost.rows, strict=True)
    ]
    return NetworkParts(
        title=title,
        space=space.name,
        architecture=arch.choices,
        cost=cost.name,
        unit=cost.unit,
        total=total,
        fixed=cost.fixed,
        fixed_share=_share(cost.fixed, total),
        blocks=tuple(parts),
    )


def _part(block: ChoiceBlock, choice: Choice, cost: float, total: float, widest: float) -> BlockPart:
    return BlockPart(
        geometry=block.geometry,
        out_px=block.out_px,
        out_channels=block.c_out,
        choice=choice.key,
        op=choice.op,
        width=choice.width,
        height=_channels(choice) / widest,
        bits=(choice.w_bits, choice.a_bits) if choice.quantized else None,
        cost=cost,
        share=_share(cost, total),
    )


def _channels(choice: Choice) -> float:
    """The channels inside a block relative to its own: the width, times the expansion of an inverted bottleneck."""
    if choice.op == SKIP:
        return 0.0
    expansion = EXPANSION.fullmatch(choice.op)
    return choice.width * (int(expansion[1]) if expansion else 1)


def _share(cost: float, total: float) -> float:
    return cost / total if total else 0.0
