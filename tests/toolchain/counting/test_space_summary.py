"""`nastool space`: the summary of a space under limits."""

import json
from random import Random

import pytest

from toolchain.costs.core import Budget, Limit
from toolchain.costs.counters import macs_cost, params_cost
from toolchain.counting.space_summary import summarize_space
from toolchain.spaces.core import SearchSpace


def test_without_limits_everything_fits(paper_space: SearchSpace) -> None:
    macs, params = macs_cost(paper_space), params_cost(paper_space)
    summary = summarize_space(paper_space, (macs, params), [Budget()])
    document = json.loads(json.dumps(summary.as_dict()))
    (unlimited,) = document["feasible"]
    assert (unlimited["count"], unlimited["share"], unlimited["exact"], unlimited["limits"]) == (4**20, 1.0, True, {})
    assert document["histogram"]["cost"] == "macs"
    assert sum(document["histogram"]["counts"]) == document["size"] == 4**20
    assert all(shares == pytest.approx(dict.fromkeys(shares, 0.25)) for shares in unlimited["marginals"])
    for cost in (macs, params):
        ends = document["costs"][cost.name]
        assert ends["least"] == cost.least == cost.cost(paper_space.architecture(ends["cheapest"]))
        assert ends["greatest"] == cost.greatest == cost.cost(paper_space.architecture(ends["most_expensive"]))


def test_the_histogram_shows_the_first_limited_cost(paper_space: SearchSpace) -> None:
    macs, params = macs_cost(paper_space), params_cost(paper_space)
    budgets = [Budget((Limit(params, most),)) for most in (3.3e6, 3.5e6)]
    document = summarize_space(paper_space, (macs, params), budgets).as_dict()
    assert document["histogram"]["cost"] == document["constraint_sampling"]["cost"] == "params"
    assert document["histogram"]["edges"][0] == params.least
    assert [feasible["limits"] for feasible in document["feasible"]] == [{"params": 3.3e6}, {"params": 3.5e6}]
    rng = Random(0)
    values = [params.cost(paper_space.draw(rng)) for _ in range(4000)]
    for feasible, most in zip(document["feasible"], (3.3e6, 3.5e6), strict=True):
        drawn = sum(value <= most for value in values) / 4000
        assert feasible["share"] == pytest.approx(drawn, abs=5 * 0.5 / 4000**0.5)  # 5 sigma
        assert feasible["costs"]["params"]["greatest"] <= most
