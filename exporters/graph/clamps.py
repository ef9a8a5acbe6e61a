"""ReLU6 as a clamp, which makes exports faster."""

import torch
from torch import Tensor, nn


class Clamp6(nn.Module):
    """What `nn.ReLU6` computes."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.clamp(x, 0.0, 6.0)


def replace_relu6(module: nn.Module) -> None:
    """Replace each ReLU6 inside `module` by a clamp.

    torch's exporter decomposes ReLU6 operator by operator, which takes more than half of the time of a network with
    many of them; a clamp becomes the same `Clip` at once.
    """
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.ReLU6:
                setattr(parent, name, Clamp6())
