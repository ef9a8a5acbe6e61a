"""What a search says if it leaves the range that the supernet was trained on."""

import pytest

from toolchain.costs.core import Budget, Limit
from toolchain.costs.counters import macs_cost, params_cost
from toolchain.nets.supernet import Supernet
from toolchain.search.trained_range import outside_trained_range
from toolchain.spaces import load_space
from toolchain.spaces.core import SearchSpace
from toolchain.training.sampled_range import Sampling
from toolchain.training.trained_supernet import TrainedSupernet

TINY = "shufflenet_v2_quick:size_px=8,stem_channels=8,stage_widths=16,stage_repeats=1,head_channels=16"


@pytest.fixture(scope="module")
def proxyless() -> SearchSpace:
    return load_space("proxyless")


def trained(sampling: Sampling | None = None, sampler: str = "levels") -> TrainedSupernet:
    return TrainedSupernet(Supernet(load_space(TINY)), sampler, sampling)


def said(space: SearchSpace, supernet: TrainedSupernet, *macs: float) -> str | None:
    budgets = [Budget((Limit(macs_cost(space), most),)) for most in macs]
    return outside_trained_range(supernet, space, budgets)


def test_a_limit_outside_the_percentiles_is_named(proxyless: SearchSpace) -> None:
    """The percentiles of this space are 284 and 461M, also for checkpoints without the field `sampling`."""
    assert said(proxyless, trained(), 300e6, 249e6) == (
        "macs of 249.00M: outside the range that the supernet was trained on (284.14M to 460.83M), so inherited "
        "accuracies may mislead. nastool train --budgets covers it"
    )
    assert said(proxyless, trained(), 300e6, 460e6) is None
    assert "macs of 500.00M" in str(said(proxyless, trained(), 300e6, 500e6))


def test_a_configured_range_is_compared(proxyless: SearchSpace) -> None:
    whole = Sampling(cost="macs", low=102.5e6, high=macs_cost(proxyless).greatest, levels=7)
    sampling = Sampling(cost="macs", low=102.5e6, high=249e6, levels=7)
    assert said(proxyless, trained(sampling), 249e6) is None
    assert said(proxyless, trained(sampling), 250e6) is not None
    assert said(proxyless, trained(whole), 10e9) is None


def test_other_costs_and_samplers_are_not_compared(proxyless: SearchSpace) -> None:
    assert said(proxyless, trained(sampler="uniform"), 249e6) is None
    assert said(proxyless, trained(Sampling(cost="latency_ms", low=1.0, high=2.0, levels=7)), 249e6) is None
    assert (
        outside_trained_range(trained(), proxyless, [Budget((Limit(params_cost(proxyless), 1e6),)), Budget()]) is None
    )
