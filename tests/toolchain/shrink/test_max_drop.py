"""The fastest network that loses at most so much: bisection over verified candidates."""

from itertools import pairwise

import pytest

from toolchain.errors import BudgetInfeasible, CheckFailed
from toolchain.search.winner import SelectedArchitecture, Winner
from toolchain.shrink.max_drop import fastest_within, latencies_ms
from toolchain.spaces.core import SearchSpace
from toolchain.training.retrained import Retrained


def winners(space: SearchSpace, count: int) -> list[Winner]:
    """One for each choice of the first block, so that they differ."""
    base = space.all_same("choice_3").choices
    keys = [choice.key for choice in space.blocks[0].choices]
    return [
        Winner(
            architecture=(keys[number], *base[1:]),
            space=space.name,
            space_digest=space.digest,
            holdout_accuracy=0.5,
            limits={"latency_ms": float(number + 1)},
            latency_ms=float(number + 1),
        )
        for number in range(count)
    ]


def tuned(accuracies: dict[float, float], calls: list[float]) -> "object":
    def tune(chosen: SelectedArchitecture) -> Retrained:
        latency = chosen.limits["latency_ms"]
        calls.append(latency)
        return Retrained(
            architecture=chosen.architecture.choices,
            space="s",
            test_accuracy=0.0,
            holdout_accuracy=accuracies[latency],
            steps=1,
            fingerprint={},
        )

    return tune


@pytest.mark.parametrize(("least", "expected"), [(0.6, 1.0), (0.75, 2.0), (0.85, 3.0), (0.9, 4.0)])
def test_the_fastest_that_keeps_the_accuracy(least: float, expected: float, tiny_space: SearchSpace) -> None:
    calls: list[float] = []
    accuracies = {1.0: 0.7, 2.0: 0.8, 3.0: 0.88, 4.0: 0.9}
    chosen, _ = fastest_within(winners(tiny_space, 4), tiny_space, least, tuned(accuracies, calls))  # type: ignore[arg-type]
    assert chosen.limits["latency_ms"] == expected
    assert calls[0] == 4.0, "the slowest first: if it loses too much, no other is trained"
    assert len(calls) == len(set(calls)) <= 3


def test_no_network_keeps_the_accuracy(tiny_space: SearchSpace) -> None:
    calls: list[float] = []
    with pytest.raises(CheckFailed) as caught:
        fastest_within(winners(tiny_space, 2), tiny_space, 0.95, tuned({1.0: 0.5, 2.0: 0.9}, calls))  # type: ignore[arg-type]
    assert calls == [2.0]
    assert "has a hold-out accuracy of 90.00% after fine-tuning, and 95.00% is needed" in str(caught.value)
    assert "Allow a larger --max-drop" in str(caught.value)


def test_budgets_are_at_equal_ratios_between_the_least_and_the_original() -> None:
    limits = latencies_ms(1.0, 20.0, 10.0)
    assert limits == sorted(limits)
    assert (limits[0], limits[-1], len(limits)) == (1.05, 9.5, 7)
    ratios = [after / before for before, after in pairwise(limits)]
    assert ratios == pytest.approx([ratios[0]] * 6, rel=1e-3)
    assert latencies_ms(9.4, 20.0, 10.0) == [9.5]
    with pytest.raises(
        BudgetInfeasible, match=r"smallest network is predicted at 9.9\d* ms, and the original takes 10"
    ):
        latencies_ms(9.9, 20.0, 10.0)
    assert latencies_ms(1.0, 4.0, 10.0)[-1] == 4.0, "no network of the space is slower"
