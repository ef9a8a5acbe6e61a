"""Rivals: the ways to train a supernet that the paper compares with (Table 1), on the same spaces, data and costs.

Each is as small as its idea: how an update mixes the choices of each block, and what its architecture parameters learn
from. `toolchain/training/architecture_training.py` alternates the updates and keeps their state. SMASH is left out: its
hypernetwork is another kind of model (docs/decisions/0055-rivals.md).
"""

from typing import Literal, TypeGuard, get_args

RivalName = Literal["path-dropout", "darts", "gumbel", "two-path", "policy"]
NAMES: tuple[RivalName, ...] = get_args(RivalName)


def is_rival(name: str) -> TypeGuard[RivalName]:
    """Whether a strategy of this name is a rival."""
    return name in NAMES
