"""Each rival: what a step computes, where its gradients go, its schedules."""

from collections.abc import Sequence
from math import log

import pytest
import torch
from torch import Tensor

from toolchain.costs.core import TableCost
from toolchain.nets.network import initialize
from toolchain.nets.supernet import Mixture, Supernet
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.training.rivals.core import Moment, keys_of, probabilities, single_path, weighted
from toolchain.training.rivals.darts import Darts
from toolchain.training.rivals.gumbel import Gumbel
from toolchain.training.rivals.path_dropout import PathDropout
from toolchain.training.rivals.policy import Policy
from toolchain.training.rivals.soft_cost import SoftCost
from toolchain.training.rivals.two_path import TwoPath

KEYS = (("a", "b"), ("a", "b", "c"))
COST = TableCost("macs", "MACs", 100.0, ({"a": 10.0, "b": 30.0}, {"a": 0.0, "b": 60.0, "c": 120.0}))
LATENCY = TableCost("latency_ms", "ms", 0.1, COST.rows)
LABELS = torch.tensor([0, 1])


def moment(progress: float = 0.0, seed: int = 0) -> Moment:
    return Moment(progress, torch.Generator().manual_seed(seed))


def logits(*rows: Sequence[float]) -> list[Tensor]:
    return [torch.tensor(row, requires_grad=True) for row in rows]


def soft(cost: TableCost = COST) -> SoftCost:
    return SoftCost.of(cost, KEYS, torch.device("cpu"))


class Recorded:
    """A network whose first class is favored by the weight of the last choice of each block; records its mixtures."""

    def __init__(self) -> None:
        self.mixtures: list[Mixture] = []

    def __call__(self, mixture: Mixture) -> Tensor:
        self.mixtures.append(mixture)
        score = torch.zeros(())
        for names, weights in zip(KEYS, mixture, strict=True):
            score = score + weights.get(names[-1], torch.zeros(()))
        return torch.stack([torch.stack([score, -score]), torch.stack([-score, score])])


def test_a_mixture_is_the_weighted_sum_of_the_choices(tiny_space: SearchSpace) -> None:
    supernet = Supernet(tiny_space)
    initialize(supernet, torch.Generator().manual_seed(0))
    x = torch.randn(4, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    keys = keys_of(tiny_space)
    path = Architecture(tiny_space.name, tuple(names[1] for names in keys))
    assert torch.equal(supernet.mix(x, single_path(keys, [1] * len(keys))), supernet(x, path))
    gates = [torch.tensor([0.0, 1.0, 0.0, 0.0])] * len(keys)
    torch.testing.assert_close(supernet.mix(x, weighted(keys, gates)), supernet(x, path))
    first = supernet.blocks[0]
    stem = supernet.stem(x)
    mixed = 0.25 * first(stem, keys[0][0]) + 0.75 * first(stem, keys[0][2])
    for block, names in zip(list(supernet.blocks)[1:], keys[1:], strict=True):
        mixed = block(mixed, names[1])
    mixture = [{keys[0][0]: torch.tensor(0.25), keys[0][2]: torch.tensor(0.75)}, *single_path(keys[1:], [1] * 3)]
    torch.testing.assert_close(supernet.mix(x, mixture), supernet.head(mixed))


def test_the_cost_of_a_mixture_is_the_convex_combination_of_the_table() -> None:
    weights = [torch.tensor([0.25, 0.75]), torch.tensor([0.5, 0.25, 0.25])]
    assert float(soft().expected(weights)) == pytest.approx(100 + 2.5 + 22.5 + 0 + 15 + 30)
    assert float(soft(LATENCY).expected(weights)) == pytest.approx(100 + 25_000 + 45_000)  # microseconds
    assert float(soft().relative([torch.full((2,), 1 / 2), torch.full((3,), 1 / 3)])) == pytest.approx(0.0, abs=1e-6)
    one_hot = [torch.tensor([0.0, 1.0]), torch.tensor([0.0, 0.0, 1.0])]
    path = Architecture("space", ("b", "c"))
    assert float(soft().expected(one_hot)) == COST.cost(path) == 250


def test_temperature_falls_exponentially() -> None:
    gumbel = Gumbel(KEYS, 5.0, 0.1, None, 0.2, 0.6)
    temperatures = [gumbel.temperature(progress) for progress in (0.0, 0.5, 1.0)]
    assert temperatures == pytest.approx([5.0, 0.70711, 0.1], rel=1e-4)  # the middle is their geometric mean


def test_weights_of_a_gumbel_softmax() -> None:
    """They sum to 1, their cost is that of the table, and at a low temperature one of them has nearly all."""
    gumbel = Gumbel(KEYS, 5.0, 0.01, soft(), 0.2, 0.6)
    rows = logits([0.0, 1.0], [0.0, 0.0, 0.0])
    weights = gumbel.weights(rows, moment())
    assert [float(row.detach().sum()) for row in weights] == pytest.approx([1.0, 1.0])
    table = 100 + sum(
        float(weight) * COST.rows[block][key]
        for block, (names, row) in enumerate(zip(KEYS, weights, strict=True))
        for key, weight in zip(names, row.detach(), strict=True)
    )
    assert float(soft().expected(weights).detach()) == pytest.approx(table, rel=1e-6)
    assert all(float(row.detach().max()) > 0.95 for row in gumbel.weights(rows, moment(1.0, seed=3)))
    draws = [gumbel.weights(rows, moment(1.0, seed))[0].argmax() for seed in range(2000)]
    assert sum(map(int, draws)) / 2000 == pytest.approx(0.7311, abs=0.03)  # the softmax of (0, 1)


def test_loss_of_fbnet() -> None:
    """Cross-entropy x a x log(cost) ** b of the same mixture."""
    rows = logits([0.0, 0.0], [0.0, 0.0, 0.0])
    network = Recorded()
    plain = Gumbel(KEYS, 5.0, 0.1, None, 0.2, 0.6).loss(rows, network, LABELS, moment())
    with_cost = Gumbel(KEYS, 5.0, 0.1, soft(), 0.2, 0.6).loss(rows, network, LABELS, moment())
    weights = [torch.stack(list(block.values())) for block in network.mixtures[1]]
    expected = float(plain) * 0.2 * log(float(soft().expected(weights).detach())) ** 0.6
    assert float(with_cost) == pytest.approx(expected, rel=1e-5)


def test_drop_rate_rises() -> None:
    dropout = PathDropout(KEYS, 0.01)
    assert [dropout.drop_probability(progress, 4) for progress in (0.0, 0.5, 1.0)] == pytest.approx(
        [0.0, 0.26591, 0.31623], rel=1e-4
    )  # (rate x progress) ** (1 / 4)
    assert [len(block) for block in dropout.mixture([], moment(0.0))] == [2, 3]
    kept = [[len(block) for block in dropout.mixture([], moment(1.0, seed))] for seed in range(2000)]
    assert all(min(counts) >= 1 for counts in kept)
    assert sum(counts[1] for counts in kept) / 6000 == pytest.approx(1 - 0.01 ** (1 / 3) + 0.01 / 3, abs=0.02)
    mixture = PathDropout(KEYS, 0.9).mixture([], moment(1.0, seed=1))
    assert all(sum(map(float, block.values())) == pytest.approx(1.0) for block in mixture)


@pytest.mark.parametrize(
    "rival",
    [Darts(KEYS), Gumbel(KEYS, 5.0, 0.1, soft(), 0.2, 0.6), TwoPath(KEYS, soft(), 0.2), Policy(KEYS, soft(), 0.2)],
)
def test_updates_of_weights_send_no_gradient_to_the_architecture(rival: Darts | Gumbel | TwoPath | Policy) -> None:
    mixture = rival.mixture(logits([0.0, 1.0], [0.0, 0.0, 2.0]), moment())
    assert not any(weight.requires_grad for block in mixture for weight in block.values())
    sizes = [len(block) for block in mixture]
    assert sizes == ([1, 1] if isinstance(rival, TwoPath | Policy) else [2, 3])


def test_darts_weighs_all_choices() -> None:
    rows = logits([0.0, 0.0], [0.0, 0.0, 0.0])
    network = Recorded()
    Darts(KEYS).loss(rows, network, LABELS, moment()).backward()
    assert [float(weight) for weight in network.mixtures[0][0].values()] == pytest.approx([0.5, 0.5])
    gradient = rows[1].grad
    assert gradient is not None
    assert gradient[2] < 0 < gradient[0] == gradient[1]  # more of the last choice lowers the loss


def test_two_path_opens_one_gate_of_two_and_learns_from_both() -> None:
    for seed in range(8):
        rows = logits([0.0, 0.5], [0.0, 0.3, 0.1])
        network = Recorded()
        TwoPath(KEYS, None, 0.0).loss(rows, network, LABELS, moment(seed=seed)).backward()
        (mixture,) = network.mixtures
        assert [sorted(float(gate) for gate in block.values()) for block in mixture] == [[0.0, 1.0], [0.0, 1.0]]
        gradient = rows[1].grad
        assert gradient is not None
        sampled = [number for number, key in enumerate(KEYS[1]) if key in mixture[1]]
        others = [number for number in range(3) if number not in sampled]
        assert [float(gradient[number]) for number in others] == [0.0]
        assert float(gradient[sampled].sum()) == pytest.approx(0.0, abs=1e-6)
        if 2 in sampled:  # the gradient of the gate: more of the last choice lowers the loss
            assert gradient[2] < 0


def test_the_expected_cost_lowers_the_probability_of_costly_choices() -> None:
    rows = logits([0.0, 0.0], [0.0, 0.0, 0.0])
    with_cost = TwoPath(KEYS, soft(), 10.0).loss(rows, Recorded(), LABELS, moment())
    without = TwoPath(KEYS, None, 10.0).loss(rows, Recorded(), LABELS, moment())
    (gradient,) = torch.autograd.grad(with_cost - without, [rows[0]])
    assert gradient[0] < 0 < gradient[1]


def test_policy_learns_from_the_better_of_two_paths() -> None:
    """The network classifies correctly only with the last choices, so their probability rises."""
    policy = Policy(KEYS, None, 0.0)
    rows = logits([0.0, 0.0], [0.0, 0.0, 0.0])
    optimizer = torch.optim.SGD(rows, lr=1.0)

    def network(mixture: Mixture) -> Tensor:
        good = "b" in mixture[0] and "c" in mixture[1]
        return torch.eye(2) if good else torch.eye(2).flip(0)

    for seed in range(60):
        optimizer.zero_grad()
        policy.loss(rows, network, LABELS, moment(seed=seed)).backward()
        optimizer.step()
    first, second = probabilities(KEYS, rows)
    assert first["b"] > 0.8
    assert second["c"] > 0.8


def test_policy_pays_for_cost() -> None:
    policy = Policy(KEYS, soft(), 5.0)
    rows = logits([0.0, 0.0], [0.0, 0.0, 0.0])
    optimizer = torch.optim.SGD(rows, lr=0.5)
    for seed in range(60):
        optimizer.zero_grad()
        policy.loss(rows, lambda mixture: torch.eye(2), LABELS, moment(seed=seed)).backward()
        optimizer.step()
    assert probabilities(KEYS, rows)[1]["a"] > 0.8
