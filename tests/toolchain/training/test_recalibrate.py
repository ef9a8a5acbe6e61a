"""BN recalibration against its definition, written out."""

from collections import defaultdict
from copy import deepcopy
from random import Random

import pytest
import torch
from torch import Tensor, nn

from toolchain.nets.blocks import STANDALONE
from toolchain.nets.network import Network, initialize
from toolchain.nets.supernet import Supernet
from toolchain.spaces.core import SearchSpace
from toolchain.training.accuracy import recalibration_batches
from toolchain.training.data import Data
from toolchain.training.recalibrate import recalibrate

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@pytest.fixture(scope="module")
def supernet(tiny_space: SearchSpace) -> Supernet:
    net = Supernet(tiny_space)
    initialize(net, torch.Generator().manual_seed(0))
    return net


@pytest.fixture(scope="module")
def batches(digits: Data) -> list[Tensor]:
    return list(recalibration_batches(digits, images=192, batch=48, seed=0))


def norms(net: nn.Module) -> dict[str, nn.BatchNorm2d]:
    return {name: layer for name, layer in net.named_modules() if isinstance(layer, nn.BatchNorm2d)}


def statistics(net: nn.Module) -> dict[str, Tensor]:
    return {name: buffer.clone() for name, buffer in net.named_buffers()}


@pytest.mark.parametrize("kind", ["candidate", "retrained"])
def test_equals_the_mean_of_each_batchs_statistics(
    kind: str, tiny_space: SearchSpace, supernet: Supernet, digits: Data, batches: list[Tensor]
) -> None:
    arch = tiny_space.draw(Random(1))
    net = supernet.extract(arch) if kind == "candidate" else Network(tiny_space, arch, STANDALONE)

    # By definition: each batch is normalized by its own mean and variance on its way, and the statistics of a layer
    # are the plain mean over batches of what it saw (the variance with n - 1, as torch keeps it).
    reference = deepcopy(net).train()
    seen: dict[str, list[tuple[Tensor, Tensor]]] = defaultdict(list)
    for name, norm in norms(reference).items():

        def look(_: nn.Module, inputs: tuple[Tensor, ...], name: str = name) -> None:
            values = inputs[0].double()
            seen[name].append((values.mean((0, 2, 3)), values.var((0, 2, 3), correction=1)))

        norm.register_forward_pre_hook(look)
    with torch.no_grad():
        for pixels in batches:
            reference(digits.preprocessing(pixels))

    recalibrate(net, batches, digits.preprocessing)
    assert len(norms(net)) > 10
    for name, norm in norms(net).items():
        means, variances = zip(*seen[name], strict=True)
        # float32 sums in another order
        torch.testing.assert_close(norm.running_mean, torch.stack(means).mean(0).float(), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(norm.running_var, torch.stack(variances).mean(0).float(), rtol=1e-4, atol=1e-5)


def test_earlier_statistics_are_forgotten(
    tiny_space: SearchSpace, supernet: Supernet, digits: Data, batches: list[Tensor]
) -> None:
    net = supernet.extract(tiny_space.draw(Random(2)))
    recalibrate(net, batches, digits.preprocessing)
    first = statistics(net)
    recalibrate(net, batches[:1], digits.preprocessing)
    recalibrate(net, batches, digits.preprocessing)
    assert first
    assert all(torch.equal(buffer, first[name]) for name, buffer in statistics(net).items())


def test_nothing_but_statistics_changes_and_nothing_is_drawn(
    tiny_space: SearchSpace, digits: Data, batches: list[Tensor]
) -> None:
    net = Network(tiny_space, tiny_space.draw(Random(3)), STANDALONE)
    net.head.insert(3, nn.Dropout(0.5))  # in train mode it would draw, and change what follows
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    random_state = torch.get_rng_state()
    recalibrate(net, batches, digits.preprocessing)
    assert torch.equal(torch.get_rng_state(), random_state)
    changed = {name for name, tensor in net.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {name for name in before if name.endswith(STATISTICS)}
    assert not any(layer.training for layer in net.modules())
    assert all(parameter.grad is None for parameter in net.parameters())


def test_the_supernet_stays_as_it_was(
    tiny_space: SearchSpace, supernet: Supernet, digits: Data, batches: list[Tensor]
) -> None:
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    recalibrate(supernet.extract(tiny_space.draw(Random(4))), batches, digits.preprocessing)
    after = supernet.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
