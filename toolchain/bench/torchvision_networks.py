"""Networks of torchvision that `nastool bench` times beside files, with random weights."""

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import torch
from torchvision import models

from exporters.graph.to_onnx import export_onnx
from toolchain.errors import BadConfig

PREFIX = "torchvision:"
IMAGENET_PX, IMAGENET_CLASSES = 224, 1000


@dataclass(frozen=True)
class TorchvisionNetwork:
    """A classifier of torchvision, by the name of its function."""

    name: str
    size_px: int
    classes: int


def parse_network(text: str) -> TorchvisionNetwork:
    """`torchvision:mobilenet_v2:size_px=160,classes=37` as a network.

    Raises:
        BadConfig: torchvision has no such classifier, or an option is unknown.
    """
    name, _, options = text.removeprefix(PREFIX).partition(":")
    known = models.list_models(module=models)
    if name not in known:
        near = get_close_matches(name, known) or known
        raise BadConfig(f"torchvision has no classifier {name!r}. It has {', '.join(near)}")
    numbers = {"size_px": IMAGENET_PX, "classes": IMAGENET_CLASSES}
    for option in filter(None, options.split(",")):
        key, _, value = option.partition("=")
        if key not in numbers or not value.isdecimal() or int(value) < 1:
            raise BadConfig(f"{text!r}: {option!r} is no option. Write it as {PREFIX}{name}:size_px=224")
        numbers[key] = int(value)
    return TorchvisionNetwork(name, numbers["size_px"], numbers["classes"])


def export_network(network: TorchvisionNetwork, path: Path) -> None:
    """Write it with random weights.

    Raises:
        ExportFailed: torch cannot export it.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = models.get_model(network.name, weights=None, num_classes=network.classes)
    export_onnx(net.eval(), torch.zeros(2, 3, network.size_px, network.size_px), path)
