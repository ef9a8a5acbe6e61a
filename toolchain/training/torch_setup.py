"""How torch computes: CPU threads, the memory format of models, faster training steps."""

from typing import TypeVar

import torch
from torch import nn

from toolchain.config import Config, TrainConfig
from toolchain.nets.compiled import compile_parts
from toolchain.nets.depthwise import accelerate_depthwise
from toolchain.parallel.ranks import local_world

Model = TypeVar("Model", bound=nn.Module)


def prepare_torch(config: Config) -> None:
    """Set the number of CPU threads, which sums depend on. The processes of one machine share them."""
    torch.set_num_threads(max(1, config.threads // local_world()))


def scoring_threads(config: Config) -> int:
    """CPU threads of this process for scoring candidates; the processes of one machine share them."""
    return max(1, config.search.threads // local_world())


def place(model: Model, device: torch.device) -> Model:
    """Move `model` to the device, with weights in channels_last: 1.4 times faster on CPUs (decision 0005)."""
    placed: Model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return placed


def place_for_training(model: Model, device: torch.device, training: TrainConfig) -> Model:
    """`place`, and speed up training steps; only rounding changes."""
    placed = place(model, device)
    if training.compile:
        compile_parts(placed)
    elif device.type == "cpu":
        accelerate_depthwise(placed)
    return placed
