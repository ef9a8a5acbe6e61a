"""Latency as a cost: the measured parts of a network, summed and calibrated on whole networks.

A part is what the profiler times by itself: the stem, the head, or one choice with one outside. Its key is text,
and the same text is the row in the latency table. It begins with the family, since `k3e3` of one is not `k3e3` of
another. Whole networks are rows of the same table; the calibration is derived from them whenever the table is read,
and kept nowhere, so that it can't be out of date.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from latency_db.table import LatencyTable
from latency_db.target import Target
from toolchain.costs.calibration import Calibration, calibrate, uncalibrated
from toolchain.costs.core import TableCost
from toolchain.spaces.core import Architecture, Choice, ChoiceBlock, SearchSpace

REGRESSION = "regression"  # the backend of tables that were fitted to networks measured elsewhere


def stem_key(space: SearchSpace) -> str:
    """`shufflenet_v2/stem:3x224px->16k3s2->16`"""
    stem = space.stem
    conv = f"{stem.conv_channels or stem.c_out}k{stem.kernel}s{stem.stride}{'p' if stem.pool else ''}"
    return f"{space.parts_of}/stem:{space.in_channels}x{space.size_px}px->{conv}->{stem.c_out}"


def block_key(space: SearchSpace, spec: ChoiceBlock, choice: Choice) -> str:
    """`shufflenet_v2/choice_3:64x56px->160s2`; blocks with the same outside share their rows."""
    return f"{space.parts_of}/{choice.key}:{spec.geometry}"


def position_key(key: str, position: int) -> str:
    """`fbnet/k3e3:16x112px->24s2#3`: of one choice block alone, which only a regression on whole networks tells."""
    return f"{key}#{position}"


def position_keys(space: SearchSpace) -> list[str]:
    """All such keys of a space."""
    return [
        position_key(block_key(space, block, choice), number)
        for number, block in enumerate(space.blocks)
        for choice in block.choices
    ]


def head_key(space: SearchSpace) -> str:
    """`shufflenet_v2/head:640x7px->1024->1000`"""
    last = space.blocks[-1]
    return f"{space.parts_of}/head:{last.c_out}x{last.out_px}px->{space.head.channels}->{space.classes}"


def network_prefix(space: SearchSpace) -> str:
    """What the keys of whole networks of just this space begin with."""
    return f"{space.parts_of}/network:{space.digest}:"


def network_key(space: SearchSpace, arch: Architecture) -> str:
    """`shufflenet_v2/network:0123456789abcdef:choice_3 choice_x ...`"""
    return f"{network_prefix(space)}{arch}"


def latency_cost(space: SearchSpace, table: LatencyTable) -> TableCost:
    """The plain sum of the measured parts in ms, of any architecture of `space`, at the table's batch.

    Raises:
        MissingLatency: a part of the space was not measured; an unmeasured part is never taken as 0.
    """
    fixed = table.latency_ms(stem_key(space)) + table.latency_ms(head_key(space))
    rows = tuple(
        {choice.key: _block_ms(space, table, number, choice) for choice in block.choices}
        for number, block in enumerate(space.blocks)
    )
    what = "estimate, not measured: sum of estimated parts" if table.target.estimate else "sum of measured parts"
    return TableCost("latency_ms", "ms", fixed, rows, f"{what}, {_where(table.target)}")


@dataclass(frozen=True)
class LatencyModel:
    """The latency of a space on one target: what is predicted, and the upper bound that a limit holds.

    Attributes:
        parts: the plain sum.
        measured_ms: the whole networks that it is calibrated on.
        target: the target that all was measured on.
        unstable: keys of the rows that could not be measured steadily.
        sums_ms: what stands for the sum of parts in the calibration, where the parts themselves were fitted on it.
    """

    parts: TableCost
    measured_ms: Mapping[Architecture, float]
    target: Target
    unstable: tuple[str, ...] = ()
    sums_ms: Mapping[Architecture, float] = field(default_factory=dict)

    @cached_property
    def calibration(self) -> Calibration:
        """The correction of the sum. None on an estimate: whole networks of it would only test it against itself."""
        if self.target.estimate:
            return uncalibrated()
        sums = [self.sums_ms.get(arch, self.parts.cost(arch)) for arch in self.measured_ms]
        return calibrate(sums, list(self.measured_ms.values()), self.parts.fixed)

    @cached_property
    def predicted(self) -> TableCost:
        """The calibrated latency in ms; still additive, so that feasible sets stay exact."""
        return self._corrected(1.0, f"{self.calibration}; {_where(self.target)}")

    @cached_property
    def upper(self) -> TableCost:
        """The upper bound of the prediction in ms, which a limit is held against."""
        margin = self.calibration.margin
        bound = self._corrected(1 + margin, f"upper bound of {self.calibration}; {_where(self.target)}")
        told = f"a margin of {margin:.1%} for the error of the prediction is part of it"
        return replace(bound, remark="the estimate itself, with no margin" if self.target.estimate else told)

    def with_networks(self, measured_ms: Mapping[Architecture, float]) -> "LatencyModel":
        """The model with more whole networks taken in; a network that is there is replaced."""
        return replace(self, measured_ms={**self.measured_ms, **measured_ms})

    def _corrected(self, factor: float, convention: str) -> TableCost:
        scale, offset_ms = factor * self.calibration.scale, factor * self.calibration.offset_ms
        rows = tuple({key: scale * ms for key, ms in row.items()} for row in self.parts.rows)
        if self.target.estimate:
            convention = f"estimate, not measured: {convention}"
        return TableCost("latency_ms", "ms", scale * self.parts.fixed + offset_ms, rows, convention)


def latency_model(space: SearchSpace, table: LatencyTable) -> LatencyModel:
    """The calibrated latency of `space`, from the rows of its parts and of its whole networks.

    Networks that could not be measured steadily are left out, as long as at least as many others remain.

    Raises:
        MissingLatency: a part of the space was not measured.
    """
    prefix, unstable = network_prefix(space), table.unstable()
    keys = [key for key in table.rows if key.startswith(prefix)]
    steady = [key for key in keys if key not in unstable]
    chosen = steady if 2 * len(steady) >= len(keys) else keys
    measured = {space.architecture(key.removeprefix(prefix)): table.latency_ms(key) for key in chosen}
    return LatencyModel(latency_cost(space, table), measured, table.target, tuple(unstable))


def _block_ms(space: SearchSpace, table: LatencyTable, number: int, choice: Choice) -> float:
    """Of one choice at one position: the row of just that position if there is one, else that of all alike."""
    key = block_key(space, space.blocks[number], choice)
    own = position_key(key, number)
    return table.latency_ms(own if own in table.rows else key)


def _where(target: Target) -> str:
    fitted = ": fitted to networks that were measured elsewhere" if target.backend == REGRESSION else ""
    return f"batch {target.batch}, on {target.device_model} ({target.backend}{fitted})"
