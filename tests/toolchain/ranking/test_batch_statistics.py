"""Statistics that all paths share: the mean over paths, written out layer by layer."""

from collections import defaultdict
from random import Random

import pytest
import torch
from torch import Tensor, nn

from toolchain.nets.network import Network, initialize
from toolchain.nets.supernet import Supernet
from toolchain.ranking.batch_statistics import SharedStatistics, accuracies
from toolchain.search.evaluate import Evaluator, ScoringSettings
from toolchain.search.trie import Trie
from toolchain.spaces import load_space
from toolchain.spaces.core import SearchSpace
from toolchain.training.data import Data, load_data
from toolchain.training.recalibrate import recalibrate

PATHS = 6


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return load_space(
        "shufflenet_v2_quick:size_px=16,stem_channels=8,stage_widths=16-24,stage_repeats=2-2,head_channels=32,"
        "ops=choice_3-choice_x,widths=0.2-0.6-1.0-1.4,round_to=1"
    )


@pytest.fixture(scope="module")
def supernet(space: SearchSpace) -> Supernet:
    net = Supernet(space)
    initialize(net, torch.Generator().manual_seed(0))
    return net.eval()


@pytest.fixture(scope="module")
def data(space: SearchSpace) -> Data:
    return load_data("digits", space, 20, 0)


def norms(net: nn.Module) -> dict[str, nn.BatchNorm2d]:
    return {name: layer for name, layer in net.named_modules() if isinstance(layer, nn.BatchNorm2d)}


def placed(net: Network, space: SearchSpace, archs_ops: list[str]) -> dict[tuple[str, str], nn.BatchNorm2d]:
    """Layers by their place in the supernet: its name and, in a block, the op."""
    result = {}
    for name, layer in norms(net).items():
        part, _, rest = name.partition(".")
        op = archs_ops[int(rest.partition(".")[0])] if part == "blocks" else ""
        result[name, op] = layer
    return result


def test_each_channel_has_the_mean_over_the_paths_that_have_it(
    space: SearchSpace, supernet: Supernet, data: Data
) -> None:
    evaluator = Evaluator(supernet, data, ScoringSettings(128, 64, seed=0))
    shared = SharedStatistics(supernet, (x for x, _ in evaluator.recalibration_inputs()), seed=3, paths=PATHS)

    rng = Random(3)
    paths = [space.draw(rng) for _ in range(PATHS)]
    assert len(set(paths)) == PATHS
    batches = [pixels for pixels, _ in evaluator._recalibration.after(0)]
    seen: dict[tuple[str, str], list[Tensor]] = defaultdict(list)
    for path in paths:
        net = supernet.extract(path)
        recalibrate(net, batches, data.preprocessing)
        ops = [choice.op for choice in space.choices_of(path)]
        for place, layer in placed(net, space, ops).items():
            assert layer.running_mean is not None
            assert layer.running_var is not None
            seen[place].append(torch.stack((layer.running_mean, layer.running_var)))

    arch = space.draw(Random(100))
    assert arch not in paths
    trie = Trie(supernet, {0: arch})
    shared.apply(trie)
    net = supernet.extract(arch)
    modules = [node.module for node in trie.root.walk()]
    parts = [net.stem, *net.blocks, net.head]
    ops = [choice.op for choice in space.choices_of(arch)]
    places = iter(placed(net, space, ops))
    compared = 0
    for module, part in zip(modules, parts, strict=True):
        for layer in norms(module).values():
            place = next(places)
            assert layer.running_mean is not None
            assert layer.running_var is not None
            for channel in range(layer.num_features):
                values = [result[:, channel] for result in seen[place] if result.shape[1] > channel]
                expected = torch.stack(values).mean(0) if values else torch.tensor([0.0, 1.0])
                result = torch.stack((layer.running_mean[channel], layer.running_var[channel]))
                # sums of float32 in another order
                torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)
                compared += 1
        assert len(norms(module)) == len(norms(part))
    assert compared > 100


def test_scores_differ_from_recalibrated_ones(space: SearchSpace, supernet: Supernet, data: Data) -> None:
    evaluator = Evaluator(supernet, data, ScoringSettings(128, 64, seed=0))
    archs = [space.draw(Random(seed)) for seed in range(5)]
    shared = SharedStatistics(supernet, (x for x, _ in evaluator.recalibration_inputs()), seed=0, paths=PATHS)
    batch_accuracies = accuracies(supernet, archs, shared, evaluator.holdout_inputs())
    again = accuracies(supernet, archs, shared, evaluator.holdout_inputs())
    assert batch_accuracies == again != [score.accuracy for score in evaluator.many(archs)]
    assert all(0 <= accuracy <= 1 for accuracy in batch_accuracies)


def test_with_one_path_they_are_its_recalibrated_statistics(space: SearchSpace, supernet: Supernet, data: Data) -> None:
    evaluator = Evaluator(supernet, data, ScoringSettings(128, 64, seed=0))
    arch = space.draw(Random(7))
    shared = SharedStatistics(supernet, (x for x, _ in evaluator.recalibration_inputs()), seed=7, paths=1)
    assert accuracies(supernet, [arch], shared, evaluator.holdout_inputs()) == [evaluator(arch)]
