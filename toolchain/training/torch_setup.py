"""How torch computes: CPU threads, the memory format of models, faster training steps."""

import os
from typing import TypeVar

import torch
from torch import nn

from toolchain.config import Config, TrainConfig
from toolchain.nets.compiled import compile_parts
from toolchain.nets.depthwise import accelerate_depthwise
from toolchain.parallel.ranks import local_world

CUBLAS_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
Model = TypeVar("Model", bound=nn.Module)


def prepare_torch(config: Config) -> None:
    """Set the number of CPU threads, which sums depend on, and whether GPUs may choose algorithms freely.

    The processes of one machine share the threads.
    """
    torch.set_num_threads(max(1, config.threads // local_world()))
    if config.deterministic:
        os.environ.setdefault(CUBLAS_WORKSPACE, ":4096:8")  # cuBLAS reads it when it is first used
    torch.use_deterministic_algorithms(config.deterministic)


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
