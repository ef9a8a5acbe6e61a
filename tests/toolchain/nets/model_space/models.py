"""Models as users write them, for tests of spaces that are derived from them."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SamePadConv(nn.Conv2d):
    """A subclass whose forward calls F.conv2d, as in efficientnet-lite-pytorch."""

    def __init__(self, c_in: int, c_out: int, kernel: int = 1, groups: int = 1) -> None:
        super().__init__(c_in, c_out, kernel, groups=groups, bias=False)
        self.pad = nn.ZeroPad2d(kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(self.pad(x), self.weight, None, self.stride, 0, self.dilation, self.groups)


class SamePad(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(16, 1, 1) + 0.5)
        self.up, self.norm = SamePadConv(16, 32), nn.BatchNorm2d(32)
        self.depthwise = SamePadConv(32, 32, 3, groups=32)
        self.squeeze, self.excite = nn.Conv2d(32, 8, 1), nn.Conv2d(8, 32, 1)
        self.down = SamePadConv(32, 16)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.depthwise(F.silu(self.norm(self.up(x)))), inplace=True)
        y = y * torch.sigmoid(self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(y, 1)))))
        y = F.dropout(self.down(y), 0.5, training=self.training)
        return x + y * self.scale


class Preactivated(nn.Module):
    """Its first ReLU works in place, so the shortcut is activated too."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU(inplace=True)
        self.first, self.norm = nn.Conv2d(16, 32, 3, padding=1), nn.GroupNorm(4, 32)
        self.act, self.second = nn.PReLU(32), nn.Conv2d(32, 16, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(self.act(self.norm(self.first(self.relu(x)))))
        y += x
        return y


class SpatialAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(16, 32, 1), nn.Conv2d(32, 16, 1)
        self.attention = nn.Conv2d(16, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x) * self.attention(x).sigmoid())


class Gated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Conv2d(16, 64, 1), nn.Conv2d(32, 16, 1)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.up(x).chunk(2, dim=1)
        return x + self.down(value * gate.sigmoid())


class Concatenated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Conv2d(16, 32, 1), nn.Conv2d(16, 32, 1), nn.Conv2d(64, 16, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.last(torch.cat([self.first(x), self.second(x)], 1).relu_())


class Cumulative(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(16, 32, 1), nn.Conv2d(32, 16, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(torch.cumsum(self.first(x), 1))


class Shuffled(nn.Module):
    """The order of narrower channels after the shuffle would not be that of the whole block's."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(16, 32, 1), nn.Conv2d(32, 16, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        n, c, h, w = y.shape
        y = y.view(n, 4, c // 4, h, w).transpose(1, 2).reshape(n, c, h, w)
        return x + self.second(y)


class Rigid(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(16, 8, 1), nn.Conv2d(8, 16, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))


class GainConv(nn.Conv2d):
    """Its gain is neither a parameter nor shown by repr."""

    def __init__(self, gain: float) -> None:
        super().__init__(16, 16, 3, padding=1)
        self.gain = gain

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * F.conv2d(x, self.weight, self.bias, padding=1)


class Gain(nn.Module):
    def __init__(self, gain: float) -> None:
        super().__init__()
        self.first, self.second = GainConv(gain), GainConv(gain)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(x)))


class FixedScale(nn.Module):
    """Inner channels are multiplied by values that are not saved with the weights."""

    factor: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(16, 16, 1), nn.Conv2d(16, 16, 1)
        self.register_buffer("factor", torch.linspace(0.5, 2.0, 16).view(16, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.factor * F.relu(self.first(x)))


class WithoutStatistics(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(16, 16, 1), nn.Conv2d(16, 16, 1)
        self.norm = nn.BatchNorm2d(16, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm(self.second(F.relu(self.first(x))))


class Net(nn.Module):
    def __init__(self, *blocks: nn.Module, classes: int = 5) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())
        self.blocks = nn.ModuleList(blocks)
        self.head = nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3)))


class Stage(nn.Module):
    """A stage with a forward function of its own, as in timm."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(SamePad(), SamePad())

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(x)


class BatchSize(Net):
    """Reads the batch size at its beginning and uses it in its head, as efficientnet-lite-pytorch."""

    def forward(self, x: Tensor) -> Tensor:
        n = x.size(0)
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(F.adaptive_avg_pool2d(x, 1).view(n, -1))


class Dynamic(Net):
    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            x = -x
        return super().forward(x)


class SharedScale(Net):
    """One parameter that is read behind each block."""

    def __init__(self) -> None:
        super().__init__(SpatialAttention(), SpatialAttention())
        self.scale = nn.Parameter(torch.ones(16, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x) * self.scale
        return self.head(x.mean((2, 3)))


class Constant(Net):
    """Its input is normalized by a tensor that is neither a parameter nor a buffer."""

    def __init__(self) -> None:
        super().__init__(SpatialAttention())
        self.mean = torch.full((3, 1, 1), 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x - self.mean)


class UnsavedOffset(Net):
    """Its input is normalized by a buffer that is not saved with the weights."""

    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__(*blocks)
        self.register_buffer("mean", torch.full((3, 1, 1), 0.5), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x - self.mean)


class TwoOutputs(Net):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        logits = super().forward(x)
        return logits, logits.softmax(1)


def same_pad() -> Net:
    return Net(SamePad(), SamePad())


def stages() -> Net:
    return Net(Stage(), Stage())


def batch_size() -> Net:
    return BatchSize(SamePad(), SamePad())


class Wrapper(nn.Module):
    """All its weights have the prefix that training programs give them too."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = same_pad()

    def forward(self, x: Tensor) -> Tensor:
        return self.backbone(x)


def preactivated() -> Net:
    return Net(Preactivated(), Preactivated())


def attention() -> Net:
    return Net(SpatialAttention(), SpatialAttention())


def gated() -> Net:
    return Net(Gated())


def concatenated() -> Net:
    return Net(Concatenated())


def cumulative() -> Net:
    return Net(Cumulative(), Cumulative())


def shuffled() -> Net:
    return Net(Shuffled())


def rigid() -> Net:
    return Net(Rigid())


def shared() -> Net:
    block = SpatialAttention()
    return Net(block, block)


def two_outputs() -> Net:
    return TwoOutputs(SpatialAttention())


def gains() -> Net:
    return Net(Gain(1.0), Gain(3.0))


def fixed_scale() -> Net:
    return Net(FixedScale(), FixedScale())


def unsaved_offset() -> Net:
    return UnsavedOffset(SpatialAttention(), SpatialAttention())


def without_statistics() -> Net:
    return Net(WithoutStatistics())


def chain() -> nn.Module:
    layers: list[nn.Module] = []
    for c_in, c_out in ((3, 16), (16, 32), (32, 32), (32, 32), (32, 32)):
        layers += [nn.Conv2d(c_in, c_out, 3), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 4))


def not_a_model() -> int:
    return 1


class LateStem(nn.Module):
    """Its head is defined first, and it divides the images in place."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(16, 10, 1)
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.blocks = nn.Sequential(SamePad())

    def forward(self, x: Tensor) -> Tensor:
        x /= 2.0
        x = torch.relu_(self.stem(x))
        x = self.head(self.blocks(x))
        return x.mean((2, 3))


def late_stem() -> nn.Module:
    return LateStem()
