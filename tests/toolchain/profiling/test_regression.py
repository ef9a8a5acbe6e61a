"""A table fitted to whole networks: it finds the numbers behind them, knows its error, and says what would help."""

from collections.abc import Sequence
from random import Random

import numpy as np
import pytest

from toolchain.costs.core import TableCost
from toolchain.costs.counters import macs_cost
from toolchain.costs.latency import block_key, head_key, position_key, stem_key
from toolchain.profiling.regression import Fit, fit, how_many_more
from toolchain.spaces import load_space
from toolchain.spaces.core import Architecture, SearchSpace


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    """FBNet's blocks, fewer of them: some are alike, some may be skipped."""
    return load_space("proxyless:size_px=32,classes=10")


class Device:
    """Latencies that add up: each part takes its MACs times a factor of its own, and something to be started.

    Args:
        alone: whether blocks that are alike have factors of their own.
    """

    def __init__(self, space: SearchSpace, alone: bool = False) -> None:
        rng, factors = Random(1), dict[str, float]()
        macs = macs_cost(space)
        rows = []
        for number, (block, row) in enumerate(zip(space.blocks, macs.rows, strict=True)):
            rows.append(dict[str, float]())
            for choice in block.choices:
                key = block_key(space, block, choice)
                factor = factors.setdefault(position_key(key, number) if alone else key, rng.uniform(0.5, 2))
                rows[-1][choice.key] = (row[choice.key] * 1e-6 * factor + 0.1) if row[choice.key] else 0.0
        self.space, self.cost = space, TableCost("latency_ms", "ms", 3.0, tuple(rows))

    def networks(self, count: int, noise: float, seed: int = 0) -> tuple[list[Architecture], list[float]]:
        rng = Random(seed)
        archs = list({self.space.draw(rng) for _ in range(count)})
        return archs, [self.cost.cost(arch) * (1 + noise * rng.gauss(0, 1)) for arch in sorted(archs)]

    def fitted(self, count: int, noise: float) -> Fit:
        archs, measured = self.networks(count, noise)
        return fit(self.space, sorted(archs), measured)

    def error(self, fit: Fit) -> float:
        """On 300 networks that the fit has not seen."""
        archs, measured = self.networks(300, 0.0, seed=99)
        return float(
            np.mean([abs(predict(self.space, fit, a) / ms - 1) for a, ms in zip(sorted(archs), measured, strict=True)])
        )


def predict(space: SearchSpace, fit: Fit, arch: Architecture) -> float:
    total = fit.rows[stem_key(space)] + fit.rows[head_key(space)]
    for number, (block, choice) in enumerate(zip(space.blocks, space.choices_of(arch), strict=True)):
        key = block_key(space, block, choice)
        total += fit.rows[position_key(key, number) if fit.by_position else key]
    return total


def test_finds_what_the_networks_add_up_from(space: SearchSpace) -> None:
    device = Device(space)
    fit = device.fitted(400, noise=0.005)
    assert not fit.by_position
    assert device.error(fit) < 0.004  # below the noise of one measurement, as 400 of them are averaged
    # the held-out error is against measurements with 0.5 % of noise, whose mean absolute value is 0.4 %
    assert 0.003 < fit.mape < 0.008
    assert fit.tau > 0.95
    assert fit.skill < 0.15
    assert fit.more == 0


def test_blocks_alike_get_numbers_of_their_own_only_where_that_helps(space: SearchSpace) -> None:
    device = Device(space, alone=True)
    fit = device.fitted(600, noise=0.005)
    assert fit.by_position
    assert device.error(fit) < 0.01


def test_the_held_out_error_is_that_on_new_networks(space: SearchSpace) -> None:
    """With as many networks as numbers the fit is loose, and knows it."""
    device = Device(space)
    fit = device.fitted(80, noise=0.005)
    assert fit.mape == pytest.approx(device.error(fit), rel=0.5)


def test_no_number_is_below_zero(space: SearchSpace) -> None:
    assert min(Device(space).fitted(60, noise=0.05).rows.values()) >= 0


def test_even_few_networks_know_more_than_nothing(space: SearchSpace) -> None:
    """The prior is fitted with three numbers, so a dozen networks are already ranked."""
    fit = Device(space).fitted(15, noise=0.005)
    assert fit.skill < 1
    assert fit.tau > 0.3


@pytest.mark.parametrize(
    ("curve", "coefficients", "expected"),
    [
        (((25, 0.08), (50, 0.04), (75, 0.03), (100, 0.02)), 50, 0),  # the target is met
        (((100, 0.12), (400, 0.06)), 50, 1200),  # n^-0.5: a quarter of the square
        (((50, 0.12), (200, 0.06)), 2000, 1800),  # at least one network a number
        (((100, 0.05), (400, 0.05)), 50, None),  # flat: more of the same won't help
    ],
)
def test_how_many_more(curve: Sequence[tuple[int, float]], coefficients: int, expected: int | None) -> None:
    more = how_many_more(curve, coefficients)
    assert more == (expected if expected is None else pytest.approx(expected, abs=2))


def test_the_estimate_of_how_many_more_is_of_the_right_size(space: SearchSpace) -> None:
    device = Device(space, alone=True)
    few = device.fitted(60, noise=0.002)
    assert few.more is not None
    assert few.more > 20
    assert device.fitted(60 + few.more, noise=0.002).mape < 0.04  # asked for 3 %
