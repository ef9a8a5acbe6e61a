"""`nastool cost`: what one architecture costs, without training or measuring anything."""

from dataclasses import dataclass

from toolchain.config import Config
from toolchain.measuring.from_config import table_target
from toolchain.nets.checked_space import configured_space, load_checked_space
from toolchain.nets.published import Published
from toolchain.runs import run_of
from toolchain.search.budget import Costs, load_costs
from toolchain.search.winner import select_architecture
from toolchain.spaces.core import Architecture, SearchSpace


@dataclass(frozen=True)
class BlockMacs:
    """The MACs of one choice block."""

    block: str  # its geometry
    choice: str
    macs: int


@dataclass(frozen=True)
class CostReport:
    """The costs of one architecture.

    Args:
        estimate: whether latencies are estimates for the configured device.
        estimated_ms: estimated latency of the whole network for a batch; None if no estimate is configured.
        published: the published network that it is, if it was named so.
    """

    space: SearchSpace
    architecture: Architecture
    costs: Costs
    estimate: bool
    estimated_ms: float | None
    published: Published | None

    @property
    def blocks(self) -> list[BlockMacs]:
        """The MACs of each block, in their order."""
        macs = self.costs.named("macs")
        return [
            BlockMacs(block.geometry, key, int(row[key]))
            for block, key, row in zip(self.space.blocks, self.architecture.choices, macs.rows, strict=True)
        ]

    def as_dict(self) -> dict[str, object]:
        """The content of --json."""
        return {
            "space": self.space.name,
            "architecture": list(self.architecture.choices),
            **self.costs.of(self.architecture),
            "fixed_macs": int(self.costs.named("macs").fixed),
            "blocks": [vars(block) for block in self.blocks],
            "conventions": {cost.name: cost.convention for cost in self.costs.all},
            "estimate": self.estimate,
            "estimated_latency_ms": self.estimated_ms,
            "published": vars(self.published) if self.published else None,
        }


def selected_costs(config: Config, arch: str | None, budget: str | None) -> CostReport:
    """The costs of the architecture `arch`; otherwise of the winner of `budget`, or of the last search.

    Raises:
        UserError: see `select_architecture`, `load_costs` and `estimate_network`.
    """
    space = configured_space(config)
    return _report(config, space, select_architecture(arch, budget, space, run_of(config)).architecture)


def published_costs(config: Config, network: Published) -> CostReport:
    """The costs of a published network."""
    space = load_checked_space(network.space)
    return _report(config, space, space.architecture(network.architecture), network)


def _report(config: Config, space: SearchSpace, arch: Architecture, published: Published | None = None) -> CostReport:
    profile = config.profile
    costs = load_costs(space, table_target(profile, space), profile.db, need_latency=False)
    estimated_ms = None
    if profile.estimate:
        from toolchain.measuring.estimates import estimate_network

        estimated_ms = estimate_network(space, arch, profile.device, profile.batch, profile.precision)
    return CostReport(space, arch, costs, profile.estimate, estimated_ms, published)
