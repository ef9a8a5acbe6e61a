"""Item of the GPU report: images per second of training, compared with torchvision's shufflenet_v2_x1_0.

    python benchmarks/gpu_torchvision.py

The supernet of the paper's space with one sampled path in each step, and the published network of that space alone,
with the same optimizer, memory format, batch and precision as torchvision's network.
"""

from collections.abc import Callable
from functools import partial
from random import Random

import torch
from gpu_items import answer, has_gpu, median_ms
from gpu_training import Training, new_supernet, random_batch
from torch import Tensor, nn
from torchvision.models import shufflenet_v2_x1_0

from toolchain.spaces import load_space
from toolchain.spaces.core import SearchSpace


def main() -> None:
    batch, steps, size_px = (128, 20, 224) if has_gpu() else (4, 2, 32)
    space = load_space(f"shufflenet_v2:size_px={size_px}")
    images = random_batch(space, batch, torch.Generator().manual_seed(0))
    results: dict[str, object] = {"batch": batch, "size_px": size_px}
    for precision in ("fp32", "bf16") if has_gpu() else ("fp32",):
        of_precision = {}
        for name, (net, forward) in networks(space).items():
            training = Training(net, lr=1e-3, precision=precision)
            ms = median_ms(partial(training.step, images, forward), steps)
            of_precision[name] = round(batch / ms * 1e3, 1)
        results[f"images_per_s, {precision}"] = of_precision
    answer(results)


def networks(space: SearchSpace) -> dict[str, tuple[nn.Module, Callable[[Tensor], Tensor]]]:
    """What is trained, each with its forward pass."""
    supernet, rng = new_supernet(space), Random(0)
    alone, theirs = supernet.extract(space.draw(Random(0))), shufflenet_v2_x1_0()
    return {
        "supernet, one path": (supernet, lambda x: supernet(x, space.draw(rng))),
        "a path alone": (alone, alone),
        "torchvision shufflenet_v2_x1_0": (theirs, theirs),
    }


if __name__ == "__main__":
    main()
