"""torchvision's networks for gray images of 32 px, for `benchmarks/shrink.py`: a 3 x 3 stem instead of 7 x 7."""

from torch import nn
from torchvision import models


def resnet18(classes: int = 10) -> nn.Module:
    """ResNet-18 whose stem is a 3 x 3 convolution with stride 2, and torchvision's pooling."""
    net: nn.Module = models.resnet18(num_classes=classes)
    net.conv1 = nn.Conv2d(1, 64, 3, stride=2, padding=1, bias=False)
    return net


def mobilenet_v2(classes: int = 10) -> nn.Module:
    """MobileNetV2; its stem is 3 x 3 already."""
    net: nn.Module = models.mobilenet_v2(num_classes=classes)
    net.set_submodule("features.0.0", nn.Conv2d(1, 32, 3, stride=2, padding=1, bias=False))
    return net
