"""The counted costs of a space: from its layers, or on the modules of a user's file or model, which needs torch."""

from collections.abc import Mapping
from functools import cache

from toolchain.costs.core import TableCost
from toolchain.costs.layers import has_layers, layer_costs
from toolchain.spaces.core import SearchSpace


def counted_costs(space: SearchSpace) -> tuple[TableCost, ...]:
    """MACs, parameters, BitOps and bits of weights of every choice of every block.

    Raises:
        UnknownSpace: a layer of a user's block cannot be counted.
    """
    if has_layers(space):
        return layer_costs(space)
    from toolchain.costs.counters import counted_cost, params_cost, weight_bits_cost

    return counted_macs(space), params_cost(space), counted_cost("bitops", space), weight_bits_cost(space)


@cache
def counted_by_name(space: SearchSpace) -> Mapping[str, TableCost]:
    """The same by their names, counted once in a process."""
    return {cost.name: cost for cost in counted_costs(space)}


def counted_macs(space: SearchSpace) -> TableCost:
    """The MACs alone, which are counted on modules once in a process."""
    if has_layers(space):
        return layer_costs(space)[0]
    from toolchain.costs.counters import counted_cost

    return counted_cost("macs", space)
