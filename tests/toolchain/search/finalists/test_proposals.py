"""Which networks become finalists."""

from itertools import product

from toolchain.costs.core import Budget, Limit, TableCost
from toolchain.costs.counters import macs_cost, params_cost
from toolchain.search.finalists.proposals import largest_network, proposed, simple_networks, uniform_networks
from toolchain.search.strategies import Scored
from toolchain.spaces import load_space
from toolchain.spaces.core import Architecture, SearchSpace

SPACE = load_space("shufflenet_v2_quick:stage_widths=32-64,stage_repeats=1-2,ops=choice_3-choice_x,widths=0.5-2.0")
MACS = macs_cost(SPACE)


def everything(space: SearchSpace) -> list[Architecture]:
    keys = ([choice.key for choice in block.choices] for block in space.blocks)
    return [space.architecture(choices) for choices in product(*keys)]


def latency_like() -> TableCost:
    """A cost that is not monotonic in MACs: choice_x is slow."""
    rows = tuple(
        {choice.key: (3.0 if choice.op == "choice_x" else 1.0) + choice.width for choice in block.choices}
        for block in SPACE.blocks
    )
    return TableCost("latency_ms", "ms", 1.0, rows)


def test_largest_network_is_that_of_a_complete_enumeration() -> None:
    for limit in (Limit(latency_like(), 9.0), Limit(params_cost(SPACE), 20_000), Limit(MACS, 400_000)):
        budget = Budget((limit,))
        (largest,) = largest_network(SPACE, budget, MACS)
        most = max(MACS.cost(arch) for arch in everything(SPACE) if budget.allows(arch))
        assert MACS.cost(largest) == most
        assert budget.allows(largest)


def test_uniform_networks_of_the_space() -> None:
    assert [str(arch) for arch in uniform_networks(SPACE, MACS)] == [
        "choice_3@0.5 choice_3@0.5 choice_3@0.5",
        "choice_3@2 choice_3@2 choice_3@2",
        "choice_x@0.5 choice_x@0.5 choice_x@0.5",
        "choice_x@2 choice_x@2 choice_x@2",
    ]


def test_blocks_without_the_choice_take_the_one_with_the_most_macs() -> None:
    """In proxyless, skip exists only where the shape stays: all-skip takes k7e6 elsewhere."""
    space = load_space("proxyless")
    skip = next(arch for arch in uniform_networks(space, macs_cost(space)) if "skip" in arch.choices)
    assert set(skip.choices) == {"skip", "k7e6"}
    assert skip.choices.count("skip") == 15


def test_simple_networks_fit_and_begin_with_the_largest() -> None:
    budget = Budget((Limit(latency_like(), 9.0),))
    simple = simple_networks(SPACE, budget, budget, MACS)
    assert all(budget.allows(arch) for arch in simple)
    assert simple[0] == largest_network(SPACE, budget, MACS)[0]
    assert "choice_x@2 choice_x@2 choice_x@2" not in map(str, simple)


def test_a_uniform_network_at_the_limit_is_proposed_although_the_margin_excludes_it() -> None:
    """The budget is the latency of the network that a user would pick; it is measured before it takes part."""
    cost, uniform = latency_like(), "choice_3@2 choice_3@2 choice_3@2"
    limit = cost.cost(SPACE.architecture(uniform))
    expected, with_margin = Budget((Limit(cost, limit),)), Budget((Limit(cost, limit / 1.04),))
    simple = simple_networks(SPACE, with_margin, expected, MACS)
    assert str(simple[0]) == uniform


def test_the_largest_network_within_the_margin_comes_before_all_but_one_uniform_network() -> None:
    """The largest one at the limit is likely to measure above it, and uniform ones may have half the MACs."""
    cost = latency_like()
    expected, with_margin = Budget((Limit(cost, 12.0),)), Budget((Limit(cost, 11.5),))
    largest, uniform, safe, *others = simple_networks(SPACE, with_margin, expected, MACS)
    assert [cost.cost(arch) for arch in (largest, uniform, safe)] == [12.0, 10.0, 11.5]
    assert len(set(uniform.choices)) == 1
    assert not set(others) & {largest, safe}


def scored(text: str, accuracy: float, strategy: str = "evolution") -> Scored:
    return Scored(SPACE.architecture(text), accuracy, 0, "random", strategy=strategy)


def test_candidates_and_simple_networks_alternate() -> None:
    best = scored("choice_3@2 choice_3@2 choice_3@0.5", 0.9)
    second = scored("choice_3@2 choice_x@2 choice_3@0.5", 0.8)
    third = scored("choice_x@2 choice_x@2 choice_3@0.5", 0.7)
    simple = [scored("choice_3@2 choice_3@2 choice_3@2", 0.1, "simple"), scored("choice_3@0.5 " * 3, 0.2, "simple")]
    order = [candidate.accuracy for candidate in proposed([second, third, best], simple)]
    assert order == [0.9, 0.1, 0.8, 0.2, 0.7]


def test_a_network_is_proposed_once() -> None:
    twice = "choice_3@2 choice_3@2 choice_3@2"
    order = list(proposed([scored(twice, 0.9)], [scored(twice, 0.9, "simple")]))
    assert [str(candidate.architecture) for candidate in order] == [twice]
