"""Latency as a cost: the measured parts of a network, summed.

A part is what the profiler times by itself: the stem, the head, or one choice with one outside. Its key is text,
and the same text is the row in the latency table. It begins with the family, since `k3e3` of one is not `k3e3` of
another.
"""

from latency_db.table import LatencyTable
from toolchain.costs.core import TableCost
from toolchain.spaces.core import Choice, ChoiceBlock, SearchSpace


def stem_key(space: SearchSpace) -> str:
    """`shufflenet_v2/stem:3x224px->16k3s2->16`"""
    stem = space.stem
    conv = f"{stem.conv_channels or stem.c_out}k{stem.kernel}s{stem.stride}{'p' if stem.pool else ''}"
    return f"{space.parts_of}/stem:{space.in_channels}x{space.size_px}px->{conv}->{stem.c_out}"


def block_key(space: SearchSpace, spec: ChoiceBlock, choice: Choice) -> str:
    """`shufflenet_v2/choice_3:64x56px->160s2`; blocks with the same outside share their rows."""
    return f"{space.parts_of}/{choice.key}:{spec.geometry}"


def head_key(space: SearchSpace) -> str:
    """`shufflenet_v2/head:640x7px->1024->1000`"""
    last = space.blocks[-1]
    return f"{space.parts_of}/head:{last.c_out}x{last.out_px}px->{space.head.channels}->{space.classes}"


def latency_cost(space: SearchSpace, table: LatencyTable) -> TableCost:
    """Predicted latency in ms of any architecture of `space` on the table's device, at its batch.

    Raises:
        MissingLatency: a part of the space was not measured; an unmeasured part is never taken as 0.
    """
    fixed = table.latency_ms(stem_key(space)) + table.latency_ms(head_key(space))
    rows = tuple({c.key: table.latency_ms(block_key(space, b, c)) for c in b.choices} for b in space.blocks)
    context = table.context
    what = "estimate, not measured: sum of estimated parts" if context.estimate else "sum of measured parts"
    convention = f"{what}, batch {context.batch}, on {context.device_model} ({context.backend})"
    return TableCost("latency_ms", "ms", fixed, rows, convention)
