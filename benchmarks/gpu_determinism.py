"""Item of the GPU report: whether two trainings of a supernet from the same seed end with the same weights.

    python benchmarks/gpu_determinism.py

As torch is set up by default, and with its deterministic algorithms; each in fp32, and on GPUs in bf16.
"""

import os
from random import Random

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with a fixed workspace

import torch
from gpu_items import answer, device, has_gpu
from torch import Tensor
from torch.nn import functional as F

from toolchain.nets.network import initialize
from toolchain.nets.supernet import Supernet
from toolchain.spaces import load_space
from toolchain.training.optimizer import sgd, step
from toolchain.training.recipe import load_recipe
from toolchain.training.torch_setup import place


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
    supernet = Supernet(space)
    initialize(supernet, torch.Generator().manual_seed(0))
    supernet = place(supernet, device()).train()
    optimizer = sgd(supernet, load_recipe("quick", "supernet", {"lr": 0.05}))
    generator, rng = torch.Generator().manual_seed(0), Random(0)
    torch.manual_seed(0)
    for _ in range(steps):
        images = torch.randn(batch, *space.input_shape, generator=generator).to(device())
        labels = torch.randint(space.classes, (batch,), generator=generator).to(device())
        arch = space.draw(rng)
        with torch.autocast(device().type, torch.bfloat16, enabled=precision == "bf16"):
            loss = F.cross_entropy(supernet(images, arch), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        step(optimizer, supernet.slices(arch))
    return [weight.detach().cpu() for weight in supernet.parameters()]


if __name__ == "__main__":
    main()
