"""A candidate's score."""

from random import Random

import pytest
import torch

from toolchain.nets.network import initialise
from toolchain.nets.supernet import Supernet
from toolchain.search.evaluate import Evaluator
from toolchain.spaces.core import SearchSpace
from toolchain.training.accuracy import fixed_batches, recalibration_batches, top1
from toolchain.training.data import Data
from toolchain.training.recalibrate import recalibrate


@pytest.fixture(scope="module")
def supernet(tiny_space: SearchSpace) -> Supernet:
    net = Supernet(tiny_space)
    initialise(net, torch.Generator().manual_seed(0))
    return net


def evaluator(supernet: Supernet, data: Data, seed: int = 0) -> Evaluator:
    return Evaluator(supernet, data, bn_images=128, batch=64, seed=seed)


def test_is_recalibration_and_top1_of_the_extracted_path(
    supernet: Supernet, tiny_space: SearchSpace, digits: Data
) -> None:
    evaluate = evaluator(supernet, digits)
    scores = set()
    for seed in range(4):
        arch = tiny_space.draw(Random(seed))
        net = supernet.extract(arch)
        recalibrate(net, recalibration_batches(digits, 128, 64, seed=0), digits.preprocessing)
        expected = top1(net, fixed_batches(digits.train, digits.holdout, 64), digits.preprocessing)
        assert evaluate(arch) == expected
        scores.add(expected)
    assert len(scores) > 1  # the architecture is what differs


def test_does_not_depend_on_what_was_scored_before(supernet: Supernet, tiny_space: SearchSpace, digits: Data) -> None:
    candidates = [tiny_space.draw(Random(seed)) for seed in range(4)]
    one, other = evaluator(supernet, digits), evaluator(supernet, digits)
    forwards = {arch: one(arch) for arch in candidates}
    torch.manual_seed(99)
    assert {arch: other(arch) for arch in reversed(candidates)} == forwards
    assert [one(arch) for arch in candidates] == list(forwards.values())


def test_leaves_the_supernets_weights_alone(supernet: Supernet, tiny_space: SearchSpace, digits: Data) -> None:
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    evaluator(supernet, digits)(tiny_space.draw(Random(0)))
    assert all(torch.equal(tensor, before[name]) for name, tensor in supernet.state_dict().items())
    assert all(parameter.grad is None for parameter in supernet.parameters())
