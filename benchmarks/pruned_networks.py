"""How the peers of `benchmarks/shrink_peers.py` make a trained network smaller.

Each gives a network for a share between 0 and 1 of what it takes in place of a latency: torch-pruning the share of
the channels that stay, FastNAS the share of the MACs.
"""

import copy
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from toolchain.training.accuracy import accuracy_over_ranks, fixed_batches
from toolchain.training.data import Data

ROUND_TO = {"torch-pruning": 8, "FastNAS": 16}  # FastNAS scores each multiple of each layer; its default is 32
BATCH = 250
RECALIBRATION_BATCH, RECALIBRATION_BATCHES = 8, 50  # with fewer than 50 batches FastNAS does not recalibrate
KINDS = {"Conv2d": "channel", "Linear": "feature", "BatchNorm2d": "feature"}  # layers, and how rules name their widths

Smaller = Callable[[float], nn.Module | None]  # the network of a share; None if there is none


def torch_pruning(original: nn.Module, example: torch.Tensor) -> Smaller:
    """torch-pruning in one shot by magnitude, with the same share of channels in all layers."""
    import torch_pruning as tp  # type: ignore[import-not-found,import-untyped,unused-ignore]

    def smaller(share: float) -> nn.Module:
        net = copy.deepcopy(original)
        pruner = tp.pruner.MagnitudePruner(
            net,
            example,
            importance=tp.importance.MagnitudeImportance(p=2),
            pruning_ratio=1 - share,
            ignored_layers=[layer for layer in net.modules() if isinstance(layer, nn.Linear)],
            round_to=ROUND_TO["torch-pruning"],
        )
        pruner.step()
        return net.eval()

    return smaller


def fastnas(original: nn.Module, example: torch.Tensor, data: Data, sensitivities: Path) -> Smaller:
    """FastNAS of NVIDIA ModelOpt: how much accuracy each layer costs at each width decides.

    Args:
        sensitivities: the file that keeps these accuracies for further shares.
    """
    import modelopt.torch.prune as mtp  # type: ignore[import-not-found,import-untyped,unused-ignore]

    images = data.fit[: RECALIBRATION_BATCHES * RECALIBRATION_BATCH]
    batches = [data.preprocessing(pixels) for pixels, _ in fixed_batches(data.train, images, RECALIBRATION_BATCH)]
    settings = {
        "score_func": lambda net: accuracy_over_ranks(net, data.train, data.holdout, BATCH, data.preprocessing),
        "data_loader": batches,
        "collect_func": lambda batch: batch,
        "checkpoint": str(sensitivities),
    }
    rules = {f"nn.{kind}": {"*": {f"{what}_divisor": ROUND_TO["FastNAS"]}} for kind, what in KINDS.items()}

    def smaller(share: float) -> nn.Module | None:
        constraints = {"flops": f"{share:.2%}"}
        try:
            net, _ = mtp.prune(
                copy.deepcopy(original), [("fastnas", rules)], constraints, example[:1], config=dict(settings)
            )
        except (AssertionError, ValueError) as problem:
            print(f"FastNAS finds no network with {share:.1%} of the MACs: {str(problem)[:200]}", flush=True)
            return None
        result: nn.Module = net.eval()
        return result

    return smaller
