"""The rival of the configuration, and the cost in its loss."""

import torch

from toolchain.config import ArchitectureConfig, SupernetConfig
from toolchain.costs.core import TableCost
from toolchain.costs.counters import counted_cost
from toolchain.errors import BadConfig
from toolchain.spaces.core import SearchSpace
from toolchain.training.rivals import RivalName
from toolchain.training.rivals.core import Rival, keys_of
from toolchain.training.rivals.darts import Darts
from toolchain.training.rivals.gumbel import Gumbel
from toolchain.training.rivals.path_dropout import PathDropout
from toolchain.training.rivals.policy import Policy
from toolchain.training.rivals.soft_cost import SoftCost
from toolchain.training.rivals.two_path import TwoPath

WITH_COST = ("gumbel", "two-path", "policy")


def needs_latency(training: SupernetConfig) -> bool:
    """Whether the loss has the latency, so that the latency table is needed."""
    return training.strategy in WITH_COST and training.architecture.cost == "latency"


def cost_in_loss(training: SupernetConfig, space: SearchSpace, latency: TableCost | None) -> TableCost | None:
    """The cost of the soft term; None where there is none.

    Args:
        latency: of the space's architectures; needed if `needs_latency(training)`.

    Raises:
        BadConfig: the latency is needed and not given.
    """
    name = training.architecture.cost
    if training.strategy not in WITH_COST or name == "none":
        return None
    if name != "latency":
        return counted_cost(name, space)
    if latency is None:
        raise BadConfig(
            "the latency in the loss needs the latency table of the target. Run nastool profile first, or set "
            "train.architecture.cost to macs"
        )
    return latency


def rival_of(
    name: RivalName, space: SearchSpace, settings: ArchitectureConfig, cost: TableCost | None, device: torch.device
) -> Rival:
    """The rival with this name.

    Args:
        cost: of the soft term of those that have one; None for no term.
    """
    keys = keys_of(space)
    soft = None if cost is None else SoftCost.of(cost, keys, device)
    if name == "path-dropout":
        return PathDropout(keys, settings.drop_rate)
    if name == "darts":
        return Darts(keys)
    if name == "gumbel":
        first, last = settings.temperature, settings.last_temperature
        return Gumbel(keys, first, last, soft, settings.cost_weight, settings.cost_power)
    if name == "two-path":
        return TwoPath(keys, soft, settings.cost_weight)
    return Policy(keys, soft, settings.cost_weight)
