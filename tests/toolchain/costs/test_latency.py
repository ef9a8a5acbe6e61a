"""Latency as a cost: calibrated, still additive, and bounded from above."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from random import Random

import pytest
from torch import nn

from latency_db.errors import MissingLatency
from latency_db.table import LatencyTable, Record, Sample, summarize
from latency_db.target import Target
from toolchain.costs.core import Budget, Limit, TableCost
from toolchain.costs.counted import counted_macs
from toolchain.costs.latency import (
    LatencyModel,
    block_key,
    head_key,
    latency_cost,
    latency_model,
    network_key,
    stem_key,
)
from toolchain.counting.feasible import FeasibleSet
from toolchain.errors import BudgetInfeasible
from toolchain.profiling.networks import stratified
from toolchain.spaces import load_space
from toolchain.spaces.core import Architecture, SearchSpace

TableOf = Callable[..., LatencyTable]


@pytest.fixture
def table_of(tiny_space: SearchSpace, target: Target) -> TableOf:
    """A table with random latencies of block variants, whose whole networks take `whole(sum)` ms."""

    def make(count: int, whole: Callable[[float], float] = lambda total: total) -> LatencyTable:
        rng = Random(0)
        keys = [stem_key(tiny_space), head_key(tiny_space)]
        keys += [block_key(tiny_space, b, c) for b in tiny_space.blocks for c in b.choices]
        variants = LatencyTable(target, {key: row(key, rng.uniform(1, 3)) for key in dict.fromkeys(keys)})
        total = latency_cost(tiny_space, variants)
        networks = {
            network_key(tiny_space, arch): row(network_key(tiny_space, arch), whole(total.cost(arch)))
            for arch in stratified(tiny_space, count, seed=0)
        }
        return LatencyTable(target, {**variants.records, **networks})

    return make


def row(key: str, ms: float) -> Record:
    return Record(key, summarize([Sample(1, ms, ms, ms, ms)], threads=1), "hash", 1)


def drawn(space: SearchSpace, count: int = 50) -> list[Architecture]:
    rng = Random(1)
    return [space.draw(rng) for _ in range(count)]


def everything(space: SearchSpace) -> list[Architecture]:
    """All 256 architectures of four blocks with four choices."""
    return [space.architecture(choices) for choices in product(range(4), repeat=4)]


def test_prediction_is_the_corrected_sum(tiny_space: SearchSpace, table_of: TableOf) -> None:
    table = table_of(20, lambda total: 1.1 * total + 0.5)
    model, total = latency_model(tiny_space, table), latency_cost(tiny_space, table)
    assert (model.calibration.scale, model.calibration.offset_ms) == pytest.approx((1.1, 0.5))
    assert model.calibration.networks == 20
    for arch in drawn(tiny_space):
        assert model.predicted.cost(arch) == pytest.approx(1.1 * total.cost(arch) + 0.5)


def test_the_upper_bound_is_the_prediction_plus_the_margin(tiny_space: SearchSpace, table_of: TableOf) -> None:
    rng = Random(2)
    model = latency_model(tiny_space, table_of(25, lambda total: 1.3 * total * rng.uniform(0.97, 1.03)))
    assert 0.005 < model.calibration.margin < 0.06
    for arch in drawn(tiny_space):
        assert model.upper.cost(arch) == pytest.approx(model.predicted.cost(arch) * (1 + model.calibration.margin))


def test_without_networks_the_prediction_is_the_sum_and_says_so(tiny_space: SearchSpace, table_of: TableOf) -> None:
    table = table_of(0)
    model, total = latency_model(tiny_space, table), latency_cost(tiny_space, table)
    assert all(model.predicted.cost(arch) == total.cost(arch) for arch in drawn(tiny_space))
    assert "not calibrated: no whole network was measured, 5.0% is assumed" in model.predicted.convention


def test_networks_of_another_space_are_ignored(
    paper_space: SearchSpace, tiny_space: SearchSpace, table_of: TableOf
) -> None:
    table = table_of(4, lambda total: 2 * total)
    arch = paper_space.all_same("choice_3")
    other = {network_key(paper_space, arch): row(network_key(paper_space, arch), 99.0)}
    model = latency_model(tiny_space, LatencyTable(table.target, {**table.records, **other}))
    assert (model.calibration.networks, model.calibration.scale) == (4, pytest.approx(2.0))


def test_additional_networks_improve_the_calibration(tiny_space: SearchSpace, table_of: TableOf) -> None:
    model = latency_model(tiny_space, table_of(0))
    archs = drawn(tiny_space, 6)
    extended = model.with_networks({arch: 1.3 * model.uncorrected.cost(arch) for arch in archs})
    assert (extended.calibration.scale, extended.calibration.networks) == (pytest.approx(1.3), len(set(archs)))
    assert model.calibration.networks == 0
    again = extended.with_networks({archs[0]: 1.4 * model.uncorrected.cost(archs[0])})
    assert again.calibration.networks == extended.calibration.networks


def test_a_limit_on_the_upper_bound_is_exact(tiny_space: SearchSpace, table_of: TableOf) -> None:
    """The feasible set of the upper bound equals brute force over all 256 architectures."""
    rng = Random(3)
    model = latency_model(tiny_space, table_of(20, lambda total: 1.2 * total * rng.uniform(0.98, 1.02)))
    limit = Limit(model.upper, (model.upper.least + model.upper.greatest) / 2)
    archs = everything(tiny_space)
    assert FeasibleSet(tiny_space, Budget((limit,))).count == sum(map(limit.allows, archs))
    assert all(model.predicted.cost(arch) <= limit.most for arch in archs if limit.allows(arch))


def test_a_limit_is_exact_where_macs_explain_a_part(tiny_space: SearchSpace, target: Target, table_of: TableOf) -> None:
    """The correction is additive over blocks too."""
    total, counts = latency_cost(tiny_space, table_of(0)), counted_macs(tiny_space)
    archs = list(dict.fromkeys(drawn(tiny_space, 30)))[:20]
    measured_ms = {arch: 0.5 * total.cost(arch) + 2e-7 * counts.cost(arch) + 0.05 for arch in archs}
    model = LatencyModel(total, measured_ms, target, macs=counts)
    assert model.calibration.per_gmac_ms == pytest.approx(200, rel=0.01)
    for arch in drawn(tiny_space):
        expected = 0.5 * total.cost(arch) + 2e-7 * counts.cost(arch) + 0.05
        assert model.predicted.cost(arch) == pytest.approx(expected, rel=1e-3)
    limit = Limit(model.upper, (model.upper.least + model.upper.greatest) / 2)
    feasible = FeasibleSet(tiny_space, Budget((limit,)))
    assert feasible.count == sum(map(limit.allows, everything(tiny_space)))


def test_a_space_whose_macs_are_unknown_is_calibrated_without_them(tiny_space: SearchSpace, table_of: TableOf) -> None:
    class Unknown:
        """Builds a layer that cannot be counted."""

        def build_stem(self, space: SearchSpace, norm: object) -> nn.Module:
            return nn.ConvTranspose2d(space.in_channels, space.stem.c_out, 2)

    model = latency_model(replace(tiny_space, builder=Unknown()), table_of(20, lambda total: 1.3 * total))
    assert model.macs is None
    assert model.calibration.scale == pytest.approx(1.3)


def test_an_impossible_limit_names_the_upper_bound_and_its_margin(tiny_space: SearchSpace, table_of: TableOf) -> None:
    model = latency_model(tiny_space, table_of(0))
    with pytest.raises(BudgetInfeasible) as caught:
        FeasibleSet(tiny_space, Budget((Limit(model.upper, 0.1),)))
    assert f"the least reachable is {model.upper.least_limit()}" in str(caught.value)
    assert "(including a margin of 5.0% for the error of the prediction)" in str(caught.value)


def test_a_block_variant_without_a_measurement_is_an_error(tiny_space: SearchSpace, table_of: TableOf) -> None:
    table = table_of(5)
    rows = {key: row for key, row in table.records.items() if key != head_key(tiny_space)}
    with pytest.raises(MissingLatency, match="head"):
        latency_model(tiny_space, LatencyTable(table.target, rows))


def test_variants_of_zero_ms_are_handled(target: Target) -> None:
    """In a table fitted to other networks, an identity `skip`, the stem and the head can have 0 ms."""
    space = load_space("fbnet:stage_widths=16-24,stage_repeats=2-2,stage_strides=1-2")
    rows = tuple(
        {c.key: 0.0 if c.key == "skip" else 0.1 + 0.1 * i for i, c in enumerate(b.choices)} for b in space.blocks
    )
    total, skips = TableCost("latency_ms", "ms", 0.0, rows), space.all_same("skip")
    measured_ms = {arch: 0.05 + total.cost(arch) for arch in [*drawn(space, 8), skips]}
    model = LatencyModel(total, measured_ms, target)
    assert model.calibration.networks == len({*measured_ms} - {skips})
    assert model.predicted.cost(skips) == pytest.approx(0.05)
    assert FeasibleSet(space, Budget((Limit(model.upper, 0.06),))).count == 1
