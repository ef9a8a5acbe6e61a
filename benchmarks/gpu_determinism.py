"""Item of the GPU report: whether two trainings of a supernet from the same seed end with the same weights.

    python benchmarks/gpu_determinism.py

As torch is set up by default, and with its deterministic algorithms; each in fp32, and on GPUs in bf16.
"""

import os
from functools import partial
from random import Random

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with a fixed workspace

import torch
from gpu_items import answer, has_gpu
from gpu_training import Training, new_supernet, random_batch
from torch import Tensor

from toolchain.spaces import load_space


def main() -> None:
    results: dict[str, object] = {}
    for deterministic in (False, True):
        torch.use_deterministic_algorithms(deterministic)
        torch.backends.cudnn.benchmark = False
        for precision in ("fp32", "bf16") if has_gpu() else ("fp32",):
            first, second = train(precision), train(precision)
            name = f"{precision}, {'deterministic algorithms' if deterministic else 'default'}"
            largest = max(float((a - b).abs().max()) for a, b in zip(first, second, strict=True))
            results[name] = {"bit_equal": largest == 0.0, "largest_difference": largest}
    answer(results)


def train(precision: str) -> list[Tensor]:
    """The weights after some steps on random images."""
    space = load_space("shufflenet_v2_quick")
    batch, steps = (64, 30) if has_gpu() else (8, 3)
    supernet = new_supernet(space)
    training = Training(supernet, lr=0.05, precision=precision)
    generator, rng = torch.Generator().manual_seed(0), Random(0)
    torch.manual_seed(0)
    for _ in range(steps):
        arch = space.draw(rng)
        forward = partial(supernet, arch=arch)
        training.step(random_batch(space, batch, generator), forward, supernet.slices(arch))
    return [weight.detach().cpu() for weight in training.net.parameters()]


if __name__ == "__main__":
    main()
