"""SGD that updates only the weights that a step's path used."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd as update

from toolchain.nets.supernet import Slices
from toolchain.training.recipe import Recipe

CLIP = "alpha_"  # names of PACT's clipping levels (toolchain/nets/quantizers.py) begin so


def sgd(model: nn.Module, recipe: Recipe) -> torch.optim.SGD:
    """SGD with weight decay on weights only: not on biases or on the scale and offset of batch normalization.

    Clipping levels of quantized activations have a separate learning rate and decay.
    """
    groups: dict[str, list[nn.Parameter]] = {"weights": [], "plain": [], "clips": []}
    for name, parameter in model.named_parameters():
        is_clip = name.rpartition(".")[2].startswith(CLIP)
        groups["clips" if is_clip else "weights" if parameter.dim() > 1 else "plain"].append(parameter)
    options = {
        "weights": {"weight_decay": recipe.weight_decay, "lr_scale": 1.0},
        "plain": {"weight_decay": 0.0, "lr_scale": 1.0},
        "clips": {"weight_decay": recipe.clip_weight_decay, "lr_scale": recipe.clip_lr_scale},
    }
    return torch.optim.SGD(
        [{"params": parameters, **options[name]} for name, parameters in groups.items() if parameters],
        lr=recipe.lr,
        momentum=recipe.momentum,
    )


def set_learning_rate(optimizer: torch.optim.SGD, lr: float) -> None:
    """Set the rate of every group; those of clipping levels scale it."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]


def moved(optimizer: torch.optim.SGD, slices: Mapping[nn.Parameter, Slices]) -> list[Tensor]:
    """The gradients that an update uses; for weights in `slices`, of that slice only."""
    parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    return [p.grad[slices[p]] if p in slices else p.grad for p in parameters]


@dataclass(frozen=True)
class Update:
    """One update in the form that torch's GradScaler takes, which skips it if a gradient in fp16 overflowed."""

    optimizer: torch.optim.SGD
    slices: Mapping[nn.Parameter, Slices]

    @property
    def param_groups(self) -> list[dict[str, Any]]:  # torch's type
        return self.optimizer.param_groups

    def step(self) -> None:
        step(self.optimizer, self.slices)


def step(optimizer: torch.optim.SGD, slices: Mapping[nn.Parameter, Slices]) -> None:
    """One update after `backward`; for weights in `slices`, of that slice only.

    torch's optimizers update whole tensors: decay and momentum would also change the channels that the step's path did
    not use, whose gradient is 0.
    """
    for group in optimizer.param_groups:
        cut = [p for p in group["params"] if p.grad is not None and p in slices]
        if cut:
            _update_parts(optimizer, group, cut, slices)
    optimizer.step()


@torch.no_grad()
def _update_parts(
    optimizer: torch.optim.SGD,
    group: dict[str, float],
    cut: list[nn.Parameter],
    slices: Mapping[nn.Parameter, Slices],
) -> None:
    weights, gradients, momenta = [], [], []
    for parameter in cut:
        state, part = optimizer.state[parameter], slices[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        assert isinstance(parameter.grad, Tensor)
        weights.append(parameter[part])
        gradients.append(parameter.grad[part])
        momenta.append(state["momentum_buffer"][part])
        parameter.grad = None  # the update of whole tensors skips it
    update(
        weights,
        gradients,
        momenta,
        weight_decay=group["weight_decay"],
        momentum=group["momentum"],
        lr=group["lr"],
        dampening=0.0,
        nesterov=False,
        maximize=False,
    )
