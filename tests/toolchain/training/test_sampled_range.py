"""The range of cost that training paths are sampled from: [train] sample_by, sample_range, levels, budgets."""

from random import Random
from typing import Any

import pytest

from toolchain.config import SupernetConfig, parse_config
from toolchain.costs.core import TableCost
from toolchain.costs.counters import counted_cost, macs_cost
from toolchain.errors import BadConfig, BadUnit
from toolchain.spaces import load_space
from toolchain.spaces.core import SearchSpace
from toolchain.training.fingerprint import SupernetFingerprint
from toolchain.training.paths import path_sampler
from toolchain.training.recipe import load_recipe
from toolchain.training.sampled_range import SampledRange, Sampling, sampled_range, samples_latency


def training(**given: Any) -> SupernetConfig:
    return parse_config("", {f"train.{key}": value for key, value in given.items()}, "test").train


@pytest.fixture(scope="module")
def resnet() -> SearchSpace:
    return load_space("resnet34_bits")


@pytest.fixture(scope="module")
def quick() -> SearchSpace:
    return load_space("shufflenet_v2_quick")


@pytest.fixture
def latency(quick: SearchSpace) -> TableCost:
    """1 ms, and 0.25 ms more for each block that is not the first choice: 1 to 3 ms."""
    rows = tuple({c.key: 0.25 * bool(i) for i, c in enumerate(block.choices)} for block in quick.blocks)
    return TableCost("latency_ms", "ms", 1.0, rows)


def test_nothing_given_draws_what_it_always_drew(quick: SearchSpace) -> None:
    """The sequence of version 0.1.0."""
    assert sampled_range(training(), quick, None) is None
    draw, rng = path_sampler("constraint", quick), Random(5)
    assert [str(draw(rng)) for _ in range(2)] == [
        "choice_7 choice_x choice_3 choice_7 choice_x choice_x choice_5 choice_x",
        "choice_3 choice_7 choice_5 choice_5 choice_7 choice_5 choice_3 choice_3",
    ]


@pytest.mark.long
@pytest.mark.parametrize(
    ("given", "least", "greatest"),
    [
        ({"budgets": ["13.1Gi", "51.9Gi"]}, 3.320, 51.9),
        ({"budgets": "13.1Gi..51.9Gi/3"}, 3.320, 51.9),
        ({"sample_range": ["13.1Gi", "51.9Gi"]}, 13.1, 51.9),
        ({"sample_range": "13.1Gi..51.9Gi"}, 13.1, 51.9),
        ({"sample_range": "1Gi..51.9Gi"}, 3.320, 51.9),
        ({"sample_range": "whole"}, 3.320, 79.099),
        ({"sample_range": ["whole"], "levels": 3}, 3.320, 79.099),
    ],
)
def test_paths_come_from_the_range(resnet: SearchSpace, given: dict[str, Any], least: float, greatest: float) -> None:
    """The range that the paper's Table 6 searches; the percentiles are 14.7 and 38.3 Gi."""
    sampled = sampled_range(training(**given), resnet, None)
    assert sampled is not None
    assert (sampled.low, sampled.high) == pytest.approx((least * 2**30, greatest * 2**30), rel=1e-3)
    draw, cost, rng = path_sampler("constraint", resnet, sampled), counted_cost("bitops", resnet), Random(0)
    drawn = sorted(cost.cost(draw(rng)) / 2**30 for _ in range(200))
    width = (greatest - least) / sampled.levels
    assert least * 0.999 <= drawn[0] < least + width
    assert greatest - width < drawn[-1] <= greatest * 1.001


def test_levels_are_drawn_equally_often(quick: SearchSpace) -> None:
    """Thirds of the whole range, of which the first has 4 % of all networks; 5 standard deviations are 0.053."""
    sampled = sampled_range(training(sample_range="whole", levels=3), quick, None)
    assert sampled is not None
    draw, cost, rng = path_sampler("constraint", quick, sampled), macs_cost(quick), Random(0)
    edge = cost.least + (cost.greatest - cost.least) / 3
    assert sum(cost.cost(draw(rng)) < edge for _ in range(2000)) / 2000 == pytest.approx(1 / 3, abs=0.053)


def test_latency_is_inferred_from_the_unit(quick: SearchSpace, latency: TableCost) -> None:
    assert samples_latency(training(budgets=["1.2ms", "17ms"]))
    assert samples_latency(training(sample_range="900us..2ms"))
    assert samples_latency(training(sample_by="latency"))
    assert not samples_latency(training(budgets=["330M"]))
    sampled = sampled_range(training(budgets=["1.5ms", "2ms"]), quick, latency)
    assert sampled is not None
    assert (sampled.cost, sampled.low, sampled.high) == (latency, 1.0, 2.0)
    draw, rng = path_sampler("constraint", quick, sampled), Random(0)
    assert max(latency.cost(draw(rng)) for _ in range(300)) == 2.0


def test_without_a_table_latency_is_refused(quick: SearchSpace) -> None:
    with pytest.raises(BadConfig, match=r"needs the latency table of the target\. Run nastool profile first"):
        sampled_range(training(budgets=["2ms"]), quick, None)


def test_the_cost_may_be_chosen(quick: SearchSpace) -> None:
    sampled = sampled_range(training(sample_by="bitops", levels=4), quick, None)
    assert sampled == SampledRange(counted_cost("bitops", quick), None, None, 4)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"budgets": ["1M"], "sample_range": "whole"}, "budgets and sample_range both set the range"),
        ({"sampler": "uniform", "budgets": ["1M"]}, "the sampler uniform has no levels"),
        ({"sample_range": "284M"}, 'it must be "whole" or two amounts'),
        ({"sample_range": ["1M", "2M", "3M"]}, 'it must be "whole" or two amounts'),
        ({"sample_range": "..2M"}, 'it must be "whole" or two amounts'),
        ({"levels": 0}, "train.levels"),
        ({"sample_by": "params"}, "train.sample_by"),
        (
            {"budgets": ["1k"]},
            "train.budgets: no network of the space has macs of at most 1.00k. The space has 976.73k",
        ),
        ({"sample_range": "2M..1M"}, "no network of the space has macs of 2.00M to 1.00M"),
        ({"sample_range": "2M..3M"}, "The space has 976.73k to 1.45M"),
    ],
)
def test_ranges_that_cannot_work_are_refused(quick: SearchSpace, given: dict[str, Any], problem: str) -> None:
    with pytest.raises(BadConfig) as caught:
        sampled_range(training(**given), quick, None)
    assert problem in str(caught.value)


def test_amounts_need_the_unit_of_the_cost(quick: SearchSpace, latency: TableCost) -> None:
    with pytest.raises(BadUnit, match="has no unit"):
        sampled_range(training(sample_by="latency", budgets=["17"]), quick, latency)


def test_the_fingerprint_holds_the_range_and_the_latencies(quick: SearchSpace, latency: TableCost) -> None:
    counted, timed = (sampled_range(training(budgets=[text]), quick, latency) for text in ("1200000", "2ms"))
    assert counted is not None
    assert timed is not None
    assert counted.fingerprint() == Sampling(cost="macs", low=976728, high=1200000, levels=7)
    assert timed.fingerprint() == Sampling(cost="latency_ms", low=1.0, high=2.0, levels=7, table="58665904978d6bdb")


def test_files_have_no_sampling_where_nothing_is_configured() -> None:
    """A checkpoint of a version without it has the same fields."""
    fields = {
        "space": "s",
        "space_digest": "0",
        "data": "digits",
        "training_images": "0",
        "holdout_per_class": 1,
        "seed": 0,
        "recipe": load_recipe("quick", "supernet", {}),
        "sampler": "levels",
        "start_from": None,
    }
    assert "sampling" not in SupernetFingerprint.model_validate(fields).stored()
    sampling = Sampling(cost="macs", levels=4)
    stored = SupernetFingerprint.model_validate({**fields, "sampling": sampling}).stored()
    assert stored["sampling"] == {"cost": "macs", "low": None, "high": None, "levels": 4, "table": None}
