"""A search space and what its architectures cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import TYPE_CHECKING

from toolchain.config import ProfileConfig, parse_config
from toolchain.search.limits import LIMITED
from toolchain.spaces.core import Architecture, SearchSpace

if TYPE_CHECKING:
    from torch import nn

    from toolchain.costs.latency import LatencyModel
    from toolchain.counting.feasible import FeasibleSet


AnyArchitecture = Architecture | str | Sequence[str] | Sequence[int]


@dataclass(frozen=True)
class Latency:
    """A predicted latency of a batch, in ms, and its upper bound, which holds for 95 % of unseen networks.

    Args:
        target: id of the target that the block variants were measured on.
        estimate: computed from a device's peak rates; nothing was measured.
    """

    ms: float
    upper_ms: float
    target: str
    estimate: bool


def profile_settings(settings: dict[str, object]) -> ProfileConfig:
    """Keys of `[profile]` in nastool.toml, checked.

    Raises:
        BadConfig: an unknown key or a wrong value.
    """
    return parse_config("", {f"profile.{key}": value for key, value in settings.items()}, "profile").profile


@dataclass(frozen=True)
class Space:
    """A search space by name, as `--space` takes it: `Space("shufflenet_v2:size_px=160,classes=37")`.

    Args:
        name: the space with its options, or `path/to/file.py:my_space`.
        fixed_ops: an architecture or a best.json: only widths are searched.
        widths: mid-channel multipliers to choose from, as `0.6-0.8-1.0`.

    Raises:
        UnknownSpace: on first use, if the name or an option is unknown.
    """

    name: str
    fixed_ops: str | None = None
    widths: str | None = None

    @cached_property
    def definition(self) -> SearchSpace:
        """The space as data: stem, choice blocks and head."""
        from toolchain.nets.checked_space import load_checked_space

        return load_checked_space(self.name, self.fixed_ops, self.widths)

    @property
    def size(self) -> int:
        """The number of architectures."""
        return self.definition.size

    def architecture(self, arch: AnyArchitecture) -> Architecture:
        """An architecture from its text, a list of choice keys, or a list of indices.

        Raises:
            BadArchitecture: it does not name one choice for each block.
        """
        from toolchain.spaces.fixed import named_architecture

        if isinstance(arch, Architecture):
            return arch
        if isinstance(arch, str):
            return named_architecture(arch, self.definition, "arch")
        return self.definition.architecture(list(arch))

    def draw(self, seed: int = 0) -> Architecture:
        """A uniformly drawn architecture."""
        return self.definition.draw(Random(seed))

    def cost(self, arch: AnyArchitecture) -> dict[str, int]:
        """Exact MACs, parameters, BitOps and bits of weights: `{"macs": ..., "params": ...}`."""
        from toolchain.search.budget import load_costs

        return load_costs(self.definition, None, "", need_latency=False).counts(self.architecture(arch))

    def latency(self, arch: AnyArchitecture, **profile: object) -> Latency:
        """The predicted latency from the latency table.

        Args:
            profile: keys of `[profile]` in nastool.toml, such as `db`, `device`, `batch`.

        Raises:
            MissingLatency: the space was not profiled on this target.
        """
        model = self.latency_model(profile_settings(profile))
        architecture = self.architecture(arch)
        target = model.target
        predicted_ms, upper_ms = model.predicted.cost(architecture), model.upper.cost(architecture)
        return Latency(float(predicted_ms), float(upper_ms), target.id, target.estimate)

    def latency_model(self, profile: ProfileConfig) -> "LatencyModel":
        """The calibrated latency model of a profiled target.

        Raises:
            MissingLatency: the space was not profiled on this target.
        """
        from toolchain.measuring.from_config import resolve_target
        from toolchain.search.budget import load_costs

        target, _ = resolve_target(profile, self.definition)
        latency = load_costs(self.definition, target, profile.db, need_latency=True).latency
        assert latency is not None  # load_costs raises MissingLatency
        return latency

    def feasible(self, limits: Mapping[str, str] | None = None, **settings: object) -> "FeasibleSet":
        """The architectures within limits: their exact number, extremes and uniform draws.

        Args:
            limits: amounts with units by cost: `{"macs": "330M"}`, `{"latency": "6ms"}`.
            settings: the same as arguments (`macs="330M"`), and keys of `[profile]` in nastool.toml, for a limit on
                latency.

        Raises:
            BudgetInfeasible: nothing fits; the message names the least reachable value.
        """
        from toolchain.counting.feasible import FeasibleSet
        from toolchain.measuring.from_config import table_target
        from toolchain.search.budget import named_budgets

        named = {key: value for key, value in settings.items() if key in LIMITED}
        amounts = {**(limits or {}), **named}
        config = parse_config("", {f"search.{cost}": limit for cost, limit in amounts.items()}, "limits")
        profile = profile_settings({key: value for key, value in settings.items() if key not in LIMITED})
        target = table_target(profile, self.definition, need_latency=True) if "latency" in amounts else None
        budgets, _ = named_budgets(config.search, self.definition, target, profile.db)
        return FeasibleSet(self.definition, budgets[0].budget)

    def torch(self, arch: AnyArchitecture) -> "nn.Module":
        """The network of an architecture with random weights, in eval mode: float32 (N, C, S, S) -> logits."""
        from toolchain.nets.blocks import STANDALONE
        from toolchain.nets.network import Network

        return Network(self.definition, self.architecture(arch), STANDALONE).eval()
