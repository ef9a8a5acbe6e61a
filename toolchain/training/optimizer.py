"""Optimizers that update only the weights that a step's path used."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from toolchain.nets.supernet import Slices
from toolchain.training.recipe import Recipe

CLIP = "alpha_"  # names of PACT's clipping levels (toolchain/nets/quantizers.py) begin so
BETA2 = 0.999  # of AdamW, as in torch


def build_optimizer(model: nn.Module, recipe: Recipe) -> Optimizer:
    """The optimizer of a recipe. Weight decay is on weights only: not on biases or the affine of normalization.

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
    parameters = [{"params": tensors, **options[name]} for name, tensors in groups.items() if tensors]
    if recipe.optimizer == "adamw":
        return AdamW(parameters, lr=recipe.lr, betas=(recipe.momentum, BETA2))
    return SGD(parameters, lr=recipe.lr, momentum=recipe.momentum)


def set_learning_rate(optimizer: Optimizer, lr: float) -> None:
    """Set the rate of every group; those of clipping levels scale it."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]


def moved(optimizer: Optimizer, slices: Mapping[nn.Parameter, Slices]) -> list[Tensor]:
    """The gradients that an update uses; for weights in `slices`, of that slice only."""
    parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    return [p.grad[slices[p]] if p in slices else p.grad for p in parameters]


@dataclass(frozen=True)
class Update:
    """One update in the form that torch's GradScaler takes, which skips it if a gradient in fp16 overflowed."""

    optimizer: Optimizer
    slices: Mapping[nn.Parameter, Slices]

    @property
    def param_groups(self) -> list[dict[str, Any]]:  # torch's type
        return self.optimizer.param_groups

    def step(self) -> None:
        step(self.optimizer, self.slices)


def step(optimizer: Optimizer, slices: Mapping[nn.Parameter, Slices]) -> None:
    """One update after `backward`; for weights in `slices`, of that slice only.

    torch's optimizers update whole tensors: decay and momentum would also change the channels that the step's path did
    not use, whose gradient is 0.
    """
    update = _update_adamw if isinstance(optimizer, AdamW) else _update_sgd
    for group in optimizer.param_groups:
        cut = [p for p in group["params"] if p.grad is not None and p in slices]
        if cut:
            update(optimizer, group, cut, slices)
    optimizer.step()


@torch.no_grad()
def _update_sgd(
    optimizer: Optimizer, group: dict[str, Any], cut: list[nn.Parameter], slices: Mapping[nn.Parameter, Slices]
) -> None:
    weights, gradients = _parts(cut, slices)
    momenta = [_state(optimizer, parameter, "momentum_buffer")[slices[parameter]] for parameter in cut]
    sgd(
        weights,
        gradients,
        momenta,  # type: ignore[arg-type]  # an invariant list of what may be None
        weight_decay=group["weight_decay"],
        momentum=group["momentum"],
        lr=group["lr"],
        dampening=0.0,
        nesterov=False,
        maximize=False,
    )


@torch.no_grad()
def _update_adamw(
    optimizer: Optimizer, group: dict[str, Any], cut: list[nn.Parameter], slices: Mapping[nn.Parameter, Slices]
) -> None:
    """The bias correction counts the updates of a tensor: channels that few paths use start with a smaller step."""
    weights, gradients = _parts(cut, slices)
    first, second = (
        [_state(optimizer, parameter, name)[slices[parameter]] for parameter in cut]
        for name in ("exp_avg", "exp_avg_sq")
    )
    beta1, beta2 = group["betas"]
    adamw(
        weights,
        gradients,
        first,
        second,
        [],
        [optimizer.state[parameter].setdefault("step", torch.tensor(0.0)) for parameter in cut],
        amsgrad=False,
        beta1=beta1,
        beta2=beta2,
        lr=group["lr"],
        weight_decay=group["weight_decay"],
        eps=group["eps"],
        maximize=False,
    )


def _parts(cut: list[nn.Parameter], slices: Mapping[nn.Parameter, Slices]) -> tuple[list[Tensor], list[Tensor]]:
    """The slices of weights and gradients; the update of whole tensors then skips these weights."""
    weights, gradients = [], []
    for parameter in cut:
        assert isinstance(parameter.grad, Tensor)
        weights.append(parameter[slices[parameter]])
        gradients.append(parameter.grad[slices[parameter]])
        parameter.grad = None
    return weights, gradients


def _state(optimizer: Optimizer, parameter: nn.Parameter, name: str) -> Tensor:
    """A moment of `parameter`; zero before its first update."""
    state = optimizer.state[parameter]
    if name not in state:
        state[name] = torch.zeros_like(parameter)
    moment: Tensor = state[name]
    return moment
