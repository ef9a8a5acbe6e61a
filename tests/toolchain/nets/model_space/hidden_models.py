"""Models that do something which their traced graph does not show."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.second = nn.Conv2d(16, 32, 1), nn.BatchNorm2d(32), nn.Conv2d(32, 16, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.norm(self.first(x))))


class Net(nn.Module):
    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__()
        self.stem, self.blocks, self.head = nn.Conv2d(3, 16, 1), nn.ModuleList(blocks), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3)))


class Skip(Residual):
    """Its name is that of the choice without a block."""


class Half(Residual):
    """Its name is that of a method of every module."""


class IdentityShortcut(Residual):
    """The ReLU changes the shortcut too, since the identity gives its input itself."""

    def __init__(self) -> None:
        super().__init__()
        self.shortcut, self.relu = nn.Identity(), nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.shortcut(x)
        return shortcut + self.second(self.first(self.relu(x)))


class ChangedView(Residual):
    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        left, _ = y.chunk(2, 1)
        left.mul_(2.0)
        return x + self.second(y)


class ChangedShortcut(Residual):
    def forward(self, x: Tensor) -> Tensor:
        shortcut = x
        x += self.second(self.first(x))
        return x + shortcut


class Activated(nn.Conv2d):
    def __init__(self, act: Callable[[Tensor], Tensor]) -> None:
        super().__init__(16, 32, 1)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        return self.act(super().forward(x))


class WithActivation(Residual):
    def __init__(self, act: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first = Activated(act)


class ConvNorm(nn.Conv2d):
    """A layer with a layer inside."""

    def __init__(self) -> None:
        super().__init__(16, 32, 1)
        self.norm = nn.BatchNorm2d(32)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(super().forward(x))


class NormInside(Residual):
    def __init__(self) -> None:
        super().__init__()
        self.first = ConvNorm()


class Twice(nn.Conv2d):
    """It convolves twice, which its shapes do not tell."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + super().forward(x.flip(3))


class ConvolvesTwice(Residual):
    def __init__(self) -> None:
        super().__init__()
        self.first = Twice(16, 32, 1)


class Recurrent(nn.Conv2d):
    """Its output channels are its input channels, so they cannot be put into another order alone."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(super().forward(x))


class WithRecurrence(Residual):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(Recurrent(16, 16, 1), nn.Conv2d(16, 32, 1))


class Scaled(Net):
    """The buffers are read in every pass."""

    def __init__(self) -> None:
        super().__init__(Residual(), Residual())
        self.register_buffer("log_scale", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward((x - self.mean.view(1, 3, 1, 1)) * self.log_scale.exp())


class ReadOnce(Net):
    def __init__(self) -> None:
        super().__init__(Residual(), Residual())
        self.register_buffer("factor", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x * self.factor.item())


class Rearranged(Net):
    """The first convolution has four times the channels of an image."""

    def __init__(self) -> None:
        super().__init__(Residual(), Residual())
        self.stem = nn.Conv2d(12, 16, 1)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pixel_unshuffle(x, 2))


class WithDefaults(Net):
    def forward(self, x: Tensor, features: bool = False, *, scale: float = 2.0) -> Tensor:
        if features:
            return x
        return super().forward(x * scale)


def skip() -> nn.Module:
    return Net(Skip(), Skip())


def half() -> nn.Module:
    return Net(Half(), Half())


def identity_shortcut() -> nn.Module:
    return Net(IdentityShortcut(), IdentityShortcut())


def changed_view() -> nn.Module:
    return Net(ChangedView(), ChangedView())


def changed_shortcut() -> nn.Module:
    return Net(ChangedShortcut(), ChangedShortcut())


def activations() -> nn.Module:
    return Net(WithActivation(F.relu), WithActivation(torch.tanh), WithActivation(F.relu))


def norm_inside() -> nn.Module:
    return Net(NormInside(), Residual())


def convolves_twice() -> nn.Module:
    return Net(ConvolvesTwice(), Residual())


class FixedShape(nn.Conv2d):
    """Its number of channels is written in its forward function."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).view(-1, 32, *x.shape[2:])


class WithFixedShape(Residual):
    def __init__(self) -> None:
        super().__init__()
        self.first = FixedShape(16, 32, 1)


class Growing(Residual):
    """Its output overflows where gains are random."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.zeros(16, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * torch.exp(2000 * self.gain)


def fixed_shape() -> nn.Module:
    return Net(WithFixedShape(), Residual())


def growing() -> nn.Module:
    return Net(Growing(), Growing())


def recurrent() -> nn.Module:
    return Net(WithRecurrence(), Residual())


def with_defaults() -> nn.Module:
    return WithDefaults(Residual(), Residual())


def hooked() -> nn.Module:
    blocks = [Residual(), Residual()]
    blocks[0].first.register_forward_hook(lambda _layer, _inputs, output: 2 * output)
    return Net(*blocks)


def synchronized() -> nn.Module:
    return nn.SyncBatchNorm.convert_sync_batchnorm(Net(Residual(), Residual()))


def wrapped() -> nn.Module:
    return nn.DataParallel(Net(Residual(), Residual()).double())


def spectral() -> nn.Module:
    block = Residual()
    nn.utils.parametrizations.spectral_norm(block.first)
    return Net(block, Residual())


def instance_statistics() -> nn.Module:
    block = Residual()
    block.norm = nn.InstanceNorm2d(32, track_running_stats=True)  # type: ignore[assignment]
    return Net(block, Residual())
