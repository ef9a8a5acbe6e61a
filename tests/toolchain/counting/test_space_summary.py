"""`nastool space`: from a space and limits to what is shown."""

import json
from random import Random

import pytest

from toolchain.costs.core import Budget, Limit
from toolchain.costs.counters import macs_cost, params_cost
from toolchain.counting.space_summary import summarize_space
from toolchain.spaces.core import SearchSpace


def test_without_limits_everything_fits(paper_space: SearchSpace) -> None:
    macs, params = macs_cost(paper_space), params_cost(paper_space)
    found = summarize_space(paper_space, (macs, params), [Budget()])
    told = json.loads(json.dumps(found.as_dict()))
    (whole,) = told["feasible"]
    assert (whole["count"], whole["share"], whole["exact"], whole["limits"]) == (4**20, 1.0, True, {})
    assert told["histogram"]["cost"] == "macs"
    assert sum(told["histogram"]["counts"]) == told["size"] == 4**20
    assert all(shares == pytest.approx(dict.fromkeys(shares, 0.25)) for shares in whole["marginals"])
    for cost in (macs, params):
        ends = told["costs"][cost.name]
        assert ends["least"] == cost.least == cost.cost(paper_space.architecture(ends["cheapest"]))
        assert ends["greatest"] == cost.greatest == cost.cost(paper_space.architecture(ends["dearest"]))


def test_the_first_limited_cost_is_the_histogram(paper_space: SearchSpace) -> None:
    macs, params = macs_cost(paper_space), params_cost(paper_space)
    budgets = [Budget((Limit(params, most),)) for most in (3.3e6, 3.5e6)]
    told = summarize_space(paper_space, (macs, params), budgets).as_dict()
    assert told["histogram"]["cost"] == told["constraint_sampling"]["cost"] == "params"
    assert told["histogram"]["edges"][0] == params.least
    assert [found["limits"] for found in told["feasible"]] == [{"params": 3.3e6}, {"params": 3.5e6}]
    rng = Random(0)
    values = [params.cost(paper_space.draw(rng)) for _ in range(4000)]
    for found, most in zip(told["feasible"], (3.3e6, 3.5e6), strict=True):
        drawn = sum(value <= most for value in values) / 4000
        assert found["share"] == pytest.approx(drawn, abs=5 * 0.5 / 4000**0.5)  # 5 sigma
        assert found["costs"]["params"]["greatest"] <= most
