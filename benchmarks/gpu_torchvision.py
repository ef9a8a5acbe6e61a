"""Item of the GPU report: images per second of training, compared with torchvision's shufflenet_v2_x1_0.

    python benchmarks/gpu_torchvision.py

The supernet of the paper's space with one sampled path in each step, and the published network of that space alone,
with the same optimizer, memory format, batch and precision as torchvision's network.
"""

from collections.abc import Callable
from functools import partial
from random import Random

import torch
from gpu_items import answer, device, has_gpu, median_ms
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import shufflenet_v2_x1_0

from toolchain.nets.network import initialize
from toolchain.nets.supernet import Supernet
from toolchain.spaces import load_space
from toolchain.training.optimizer import sgd, step
from toolchain.training.recipe import load_recipe
from toolchain.training.torch_setup import place


def main() -> None:
    batch, steps, size_px = (128, 20, 224) if has_gpu() else (4, 2, 32)
    space = load_space(f"shufflenet_v2:size_px={size_px}")
    supernet = Supernet(space)
    initialize(supernet, torch.Generator().manual_seed(0))
    alone = supernet.extract(space.draw(Random(0)))
    rng = Random(0)
    supernet = place(supernet, device()).train()
    images = torch.randn(batch, *space.input_shape, generator=torch.Generator().manual_seed(0))
    images = images.to(device(), memory_format=torch.channels_last)
    labels = torch.randint(space.classes, (batch,), generator=torch.Generator().manual_seed(0)).to(device())
    nets: dict[str, tuple[nn.Module, Callable[[Tensor], Tensor]]] = {
        "supernet, one path": (supernet, lambda x: supernet(x, space.draw(rng))),
        "a path alone": (placed := place(alone, device()).train(), placed),
        "torchvision shufflenet_v2_x1_0": (theirs := place(shufflenet_v2_x1_0(), device()).train(), theirs),
    }
    results: dict[str, object] = {"batch": batch, "size_px": size_px}
    for precision in ("fp32", "bf16") if has_gpu() else ("fp32",):
        of_precision = {}
        for name, (net, run) in nets.items():
            ms = median_ms(partial(train_step, net, run, images, labels, precision), steps)
            of_precision[name] = round(batch / ms * 1e3, 1)
        results[f"images_per_s, {precision}"] = of_precision
    answer(results)


def train_step(net: nn.Module, run: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, precision: str) -> None:
    optimizer = _optimizer(net)
    with torch.autocast(device().type, torch.bfloat16, enabled=precision == "bf16"):
        loss = F.cross_entropy(run(images), labels)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    step(optimizer, {})


_OPTIMIZERS: dict[nn.Module, torch.optim.SGD] = {}


def _optimizer(net: nn.Module) -> torch.optim.SGD:
    if net not in _OPTIMIZERS:
        _OPTIMIZERS[net] = sgd(net, load_recipe("quick", "supernet", {"lr": 1e-3}))
    return _OPTIMIZERS[net]


if __name__ == "__main__":
    main()
