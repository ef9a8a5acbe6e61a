"""Shared by the items of the GPU report that train: random images, a network on the device, and its steps."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from gpu_items import device
from torch import Tensor, nn
from torch.nn import functional as F

from toolchain.nets.network import initialize
from toolchain.nets.supernet import Slices, Supernet
from toolchain.spaces.core import SearchSpace
from toolchain.training.optimizer import build_optimizer, step
from toolchain.training.recipe import load_recipe
from toolchain.training.torch_setup import place


@dataclass(frozen=True)
class Batch:
    """Random images (N, C, S, S) with labels (N,), on the device."""

    images: Tensor
    labels: Tensor


def random_batch(space: SearchSpace, size: int, generator: torch.Generator) -> Batch:
    images = torch.randn(size, *space.input_shape, generator=generator)
    labels = torch.randint(space.classes, (size,), generator=generator)
    return Batch(images.to(device(), memory_format=torch.channels_last), labels.to(device()))


def new_supernet(space: SearchSpace) -> Supernet:
    """A supernet with the same random weights each time, on the CPU."""
    supernet = Supernet(space)
    initialize(supernet, torch.Generator().manual_seed(0))
    return supernet


class Training:
    """A network on the device with its optimizer, trained in one precision.

    Args:
        lr: learning rate.
        precision: fp32 or bf16.
    """

    def __init__(self, net: nn.Module, lr: float, precision: str) -> None:
        self.net = place(net, device()).train()
        self._optimizer = build_optimizer(self.net, load_recipe("quick", "supernet", {"lr": lr}))
        self._precision = precision

    def autocast(self) -> torch.autocast:
        return torch.autocast(device().type, torch.bfloat16, enabled=self._precision == "bf16")

    def step(
        self,
        batch: Batch,
        forward: Callable[[Tensor], Tensor],
        slices: Mapping[nn.Parameter, Slices] | None = None,
    ) -> None:
        """One step.

        Args:
            forward: images -> logits, through the network.
            slices: of the weights that change; None for whole weights.
        """
        with self.autocast():
            loss = F.cross_entropy(forward(batch.images), batch.labels)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch annotates it without a return type
        step(self._optimizer, slices or {})
