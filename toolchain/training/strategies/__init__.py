"""Training strategies: which paths a step of supernet training takes, and what each of them learns from."""

from typing import Literal

from toolchain.spaces.core import SearchSpace
from toolchain.training.strategies.core import Draw, Path, TrainingStrategy
from toolchain.training.strategies.fair import Fair
from toolchain.training.strategies.sandwich import Sandwich, extremes
from toolchain.training.strategies.single_path import SinglePath

__all__ = ["NAMES", "Path", "StrategyName", "TrainingStrategy", "training_strategy"]

StrategyName = Literal["spos", "sandwich", "fair"]
NAMES: tuple[StrategyName, ...] = ("spos", "sandwich", "fair")


def training_strategy(name: StrategyName, space: SearchSpace, draw: Draw) -> TrainingStrategy:
    """The strategy with this name.

    Args:
        draw: the path sampler; `fair` does not use it.
    """
    if name == "fair":
        return Fair(space)
    if name == "sandwich":
        return Sandwich(*extremes(space), draw)
    return SinglePath(draw)
