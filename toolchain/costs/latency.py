"""Latency as a cost: the sum of the block variants' latencies, calibrated on whole networks.

A block variant is a unit that the profiler times by itself: the stem, the head, or one choice with one block geometry.
Its key is the text that identifies its record in the latency table. It begins with the family, since `k3e3` of one
family is another module than `k3e3` of another. Whole networks are records of the same table. The calibration is
computed from them each time the table is read and is not stored, so it is never out of date.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from latency_db.table import LatencyTable
from latency_db.target import Target
from toolchain.costs.calibration import Calibration, calibrate, uncalibrated
from toolchain.costs.core import TableCost
from toolchain.costs.corrections import MIN_WITH_MACS, Correction
from toolchain.costs.counted import counted_macs
from toolchain.costs.regression import REGRESSION
from toolchain.errors import UnknownSpace
from toolchain.spaces.core import FLOAT_BITS, Architecture, Choice, ChoiceBlock, SearchSpace


def stem_key(space: SearchSpace) -> str:
    """`shufflenet_v2/stem:3x224px->16k3s2->16`; in a space of 1 to 4 bits, whose stem stays in float, with `:fp32`."""
    stem = space.stem
    conv = f"{stem.conv_channels or stem.c_out}k{stem.kernel}s{stem.stride}{'p' if stem.pool else ''}"
    return f"{space.key_prefix}/stem:{space.in_channels}x{space.size_px}px->{conv}->{stem.c_out}{_float_mark(space)}"


def block_key(space: SearchSpace, spec: ChoiceBlock, choice: Choice) -> str:
    """`shufflenet_v2/choice_3:64x56px->160s2`; blocks with the same geometry share their records.

    A choice whose mid channels are rounded has the multiple in its key, `choice_3@0.4/8`: truncated to whole channels,
    the same width is another module. A float choice of a space of 1 to 4 bits ends in `:fp32`, since other spaces have
    it in int8 on the same target.
    """
    mark = "" if choice.quantized else _float_mark(space)
    return f"{space.key_prefix}/{choice.key}{_rounding(choice)}:{spec.geometry}{mark}"


def timed_key(space: SearchSpace, spec: ChoiceBlock, choice: Choice) -> str:
    """The key that a choice is timed under: `resnet/basic@0.5:int8:64x56px->64s1` for any bits, else its `block_key`.

    Choices of 1 to 4 bits that differ in their bits alone have the same 8-bit container.
    """
    if not choice.quantized:
        return block_key(space, spec, choice)
    container = replace(choice, w_bits=FLOAT_BITS, a_bits=FLOAT_BITS).key
    return f"{space.key_prefix}/{container}{_rounding(choice)}:int8:{spec.geometry}"


def _rounding(choice: Choice) -> str:
    return "" if choice.round_to == 1 else f"/{choice.round_to}"


def _float_mark(space: SearchSpace) -> str:
    return ":fp32" if space.quantized else ""


def position_key(key: str, position: int) -> str:
    """`fbnet/k3e3:16x112px->24s2#3`: one position, as distinguished by a regression on whole networks."""
    return f"{key}#{position}"


def position_keys(space: SearchSpace) -> list[str]:
    """The keys that a regression has for the choices of a space: with and without their positions."""
    keys = [
        (block_key(space, block, choice), number)
        for number, block in enumerate(space.blocks)
        for choice in block.choices
    ]
    return list(dict.fromkeys([key for key, _ in keys] + [position_key(key, number) for key, number in keys]))


def head_key(space: SearchSpace) -> str:
    """`shufflenet_v2/head:640x7px->1024->1000`"""
    last = space.blocks[-1]
    sizes = f"{last.c_out}x{last.out_px}px->{space.head.channels}->{space.classes}"
    return f"{space.key_prefix}/head:{sizes}{_float_mark(space)}"


def variant_keys(space: SearchSpace) -> tuple[str, ...]:
    """The keys of all variants that are timed for a space: stem, head and distinct choices."""
    choices = (timed_key(space, block, choice) for block in space.blocks for choice in block.choices)
    return tuple(dict.fromkeys((stem_key(space), head_key(space), *choices)))


def network_prefix(space: SearchSpace) -> str:
    """The prefix of the keys of this space's whole networks."""
    return f"{space.key_prefix}/network:{space.digest}:"


def network_key(space: SearchSpace, arch: Architecture) -> str:
    """`shufflenet_v2/network:0123456789abcdef:choice_3 choice_x ...`"""
    return f"{network_prefix(space)}{arch}"


def latency_cost(space: SearchSpace, table: LatencyTable) -> TableCost:
    """The uncorrected sum of the block variants' latencies in ms, for the batch size of the table's target.

    Raises:
        MissingLatency: a block variant of the space was not measured. It is never counted as 0.
    """
    fixed = table.latency_ms(stem_key(space)) + table.latency_ms(head_key(space))
    rows = tuple(
        {choice.key: _block_ms(space, table, number, choice) for choice in block.choices}
        for number, block in enumerate(space.blocks)
    )
    origin = (
        "estimate, not measured: sum of estimated variants" if table.target.estimate else "sum of measured variants"
    )
    return TableCost("latency_ms", "ms", fixed, rows, f"{origin}, {_target_text(table.target, space.quantized)}")


@dataclass(frozen=True)
class LatencyModel:
    """The latency of a space's architectures on one target: the prediction, and its upper bound for limits.

    Attributes:
        uncorrected: the sum of the block variants' latencies.
        measured_ms: the latency of each whole network that the sum is calibrated on.
        target: the target of all measurements.
        unstable: keys of the records whose measurements vary too much.
        sums_ms: held-out sums of some of these networks, which replace their uncorrected sums in the calibration. They
            are needed where the block variants' latencies were fitted to the same networks.
        in_containers: layers of 1 to 4 bits were measured in 8-bit containers.
        profile_runs: uids of the runs of the latency table that the latencies are from.
        macs: of the space, which the correction may need; None if there are too few networks for that.
    """

    uncorrected: TableCost
    measured_ms: Mapping[Architecture, float]
    target: Target
    unstable: tuple[str, ...] = ()
    sums_ms: Mapping[Architecture, float] = field(default_factory=dict)
    in_containers: bool = False
    profile_runs: tuple[str, ...] = ()
    macs: TableCost | None = None

    @cached_property
    def calibration(self) -> Calibration:
        """The correction of the sum. An estimate has none: its whole networks are estimated in the same way."""
        if self.target.estimate:
            return uncalibrated()
        sums = [self.sums_ms.get(arch, self.uncorrected.cost(arch)) for arch in self.measured_ms]
        macs = None if self.macs is None else list(map(self.macs.cost, self.measured_ms))
        return calibrate(sums, list(self.measured_ms.values()), self.uncorrected.fixed, macs=macs)

    @cached_property
    def predicted(self) -> TableCost:
        """The calibrated latency in ms. It is additive too, so feasible sets stay exact."""
        return self._corrected(1.0, f"{self.calibration}; {self._measured_on}")

    @cached_property
    def upper(self) -> TableCost:
        """The upper bound of the predicted latency in ms, which limits apply to."""
        margin = self.calibration.margin
        bound = self._corrected(1 + margin, f"upper bound of {self.calibration}; {self._measured_on}")
        remark = f"including a margin of {margin:.1%} for the error of the prediction"
        return replace(bound, remark="the estimate itself, without a margin" if self.target.estimate else remark)

    def with_networks(self, measured_ms: Mapping[Architecture, float]) -> "LatencyModel":
        """The model calibrated on additional whole networks. A network that it already has gets the new latency."""
        return replace(self, measured_ms={**self.measured_ms, **measured_ms})

    @property
    def _measured_on(self) -> str:
        return _target_text(self.target, self.in_containers)

    def _corrected(self, factor: float, convention: str) -> TableCost:
        fitted = self.calibration.fitted
        correction = Correction(factor * fitted.scale, factor * fitted.offset_ms, factor * fitted.per_gmac_ms)
        if self.target.estimate:
            convention = f"estimate, not measured: {convention}"
        return corrected(self.uncorrected, correction, self.macs, convention)


def corrected(uncorrected: TableCost, correction: Correction, macs: TableCost | None, convention: str) -> TableCost:
    """The corrected sum of variants; the offset is in the fixed part.

    Args:
        macs: of the same space; needed if the correction has a time for each MAC.
    """
    rows = [{key: correction.scale * ms for key, ms in row.items()} for row in uncorrected.rows]
    fixed = correction.scale * uncorrected.fixed + correction.offset_ms
    if correction.per_gmac_ms:
        assert macs is not None
        per_mac_ms = correction.per_gmac_ms / 1e9
        fixed += per_mac_ms * macs.fixed
        rows = [
            {key: ms + per_mac_ms * counts[key] for key, ms in row.items()}
            for row, counts in zip(rows, macs.rows, strict=True)
        ]
    return TableCost("latency_ms", "ms", fixed, tuple(rows), convention)


def latency_model(space: SearchSpace, table: LatencyTable) -> LatencyModel:
    """The latency model of `space`, from the records of its block variants and whole networks in `table`.

    Networks with unstable measurements are left out if at least half of the networks are stable.

    Raises:
        MissingLatency: a block variant of the space was not measured.
    """
    prefix, unstable = network_prefix(space), table.unstable()
    keys = [key for key in table.records if key.startswith(prefix)]
    stable = [key for key in keys if key not in unstable]
    chosen = stable if 2 * len(stable) >= len(keys) else keys
    measured = {space.architecture(key.removeprefix(prefix)): table.latency_ms(key) for key in chosen}
    cost = latency_cost(space, table)
    return LatencyModel(
        cost,
        measured,
        table.target,
        tuple(unstable),
        in_containers=space.quantized,
        profile_runs=table.profile_runs,
        macs=_macs(space) if len(measured) >= MIN_WITH_MACS else None,
    )


def _macs(space: SearchSpace) -> TableCost | None:
    """None for a space with blocks of a user that cannot be counted."""
    try:
        return counted_macs(space)
    except UnknownSpace:
        return None


def _block_ms(space: SearchSpace, table: LatencyTable, number: int, choice: Choice) -> float:
    """The latency of a choice at a position.

    It is the record of that position if there is one, else that of its geometry, else that of its 8-bit container.
    """
    key = block_key(space, space.blocks[number], choice)
    for fitted in (position_key(key, number), key):
        if fitted in table.records:
            return table.latency_ms(fitted)
    return table.latency_ms(timed_key(space, space.blocks[number], choice))


def _target_text(target: Target, low_bit: bool) -> str:
    fitted = ": fitted to networks measured elsewhere" if target.backend == REGRESSION else ""
    containers = ", in int8 containers" if low_bit and target.backend != REGRESSION else ""
    return f"batch {target.batch}{containers}, on {target.device_model} ({target.backend}{fitted})"
