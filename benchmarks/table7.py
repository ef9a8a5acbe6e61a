"""Measure a training step with one path of a supernet, two paths, or all choices (paper Table 7).

    python benchmarks/table7.py [--space NAME] [--batch N] [--steps N] [--threads N]

The paper compares the memory and time of its single path with ProxylessNAS, whose steps use two paths, and with FBNet,
whose steps use all choices of each block. Here all three use the same blocks: a block's output is the mean over its
active choices. Memory is that of the tensors which a forward pass saves for the backward pass (torch's saved tensors,
each storage once, without weights), which grows with paths and batch. The outputs of convolutions are also counted,
exactly, as the mean over all paths, since these do not depend on how a library saves tensors. Steps are interleaved;
paths are sampled uniformly.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable
from functools import partial
from random import Random
from statistics import mean, median, quantiles

from cli.openmp import SPINCOUNT

os.environ.setdefault("GOMP_SPINCOUNT", SPINCOUNT)  # before torch loads

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exporters.devices.attached import attached
from toolchain.nets.network import initialize
from toolchain.nets.supernet import Supernet
from toolchain.paper.saved_tensors import saved_tensors
from toolchain.spaces import load_space
from toolchain.training.optimizer import build_optimizer, step
from toolchain.training.precision import compute_device
from toolchain.training.recipe import load_recipe

LEARNING_RATE = 1e-3  # small, since random images carry no signal


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="shufflenet_v2")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.steps < 2:
        parser.error("--steps must be 2 or more")
    torch.set_num_threads(args.threads)
    space = load_space(args.space)
    supernet = Supernet(space)
    initialize(supernet, torch.Generator().manual_seed(args.seed))
    device = compute_device()
    supernet.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    recipe = load_recipe("quick", "supernet", {"lr": LEARNING_RATE})
    optimizer = build_optimizer(supernet, recipe)
    generator = torch.Generator().manual_seed(args.seed)
    images = torch.randn(args.batch, *space.input_shape, generator=generator)
    images = images.to(device, memory_format=torch.channels_last)
    labels = torch.randint(space.classes, (args.batch,), generator=generator).to(device)
    most = max(len(block.choices) for block in space.blocks)
    kinds = {"single path": 1, "two paths": 2, f"all {most} choices": most}
    rng = Random(args.seed)
    seconds: dict[str, list[float]] = {name: [] for name in kinds}
    saved: dict[str, list[int]] = {name: [] for name in kinds}
    outputs = {name: conv_outputs(supernet, images[:1], count) for name, count in kinds.items()}
    peaks: dict[str, list[int]] = {name: [] for name in kinds}

    def train_step(paths: list[list[str]]) -> None:
        loss = F.cross_entropy(forward(supernet, images, paths), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        step(optimizer, {})

    for turn in range(args.steps + 1):  # the first allocates memory and is not counted
        for name in rng.sample(list(kinds), k=len(kinds)):
            paths = [
                [c.key for c in rng.sample(block.choices, k=min(kinds[name], len(block.choices)))]
                for block in space.blocks
            ]
            took_s, peak = timed(partial(train_step, paths))
            if turn:
                seconds[name].append(took_s)
                saved[name].append(kept_bytes(supernet, images, paths))
                peaks[name].append(peak)
    device_name = torch.cuda.get_device_name() if torch.cuda.is_available() else attached()[0].model
    print(f"{device_name}, {args.threads} threads, {platform.system()} {platform.machine()}, torch {torch.__version__}")
    print(f"{args.space}, batch {args.batch}, {args.steps} steps each, seed {args.seed}")
    print()
    first = next(iter(kinds))
    columns = ("", "kept MiB", "ratio", "conv outputs, M an image", "ratio", "step ms (quartiles)", "ratio", "peak MiB")
    print("{:<15}{:>10}{:>7}{:>26}{:>7}{:>26}{:>7}{:>10}".format(*columns))
    for name in kinds:
        low, _, high = quantiles(seconds[name], n=4)
        print(
            f"{name:<15}{mean(saved[name]) / 2**20:>10.1f}{mean(saved[name]) / mean(saved[first]):>7.2f}"
            f"{outputs[name] / 1e6:>26.3f}{outputs[name] / outputs[first]:>7.2f}"
            f"{f'{median(seconds[name]) * 1e3:.0f} ({low * 1e3:.0f} - {high * 1e3:.0f})':>26}"
            f"{median(seconds[name]) / median(seconds[first]):>7.2f}"
            f"{f'{max(peaks[name]) / 2**20:.0f}' if max(peaks[name]) else 'no GPU':>10}"
        )


def forward(supernet: Supernet, x: Tensor, paths: list[list[str]]) -> Tensor:
    """The logits; each block's output is the mean over its active choices."""
    x = supernet.stem(x)
    for block, keys in zip(supernet.blocks, paths, strict=True):
        outs = [block(x, key) for key in keys]
        x = outs[0] if len(outs) == 1 else sum(outs[1:], start=outs[0]) / len(outs)
    logits: Tensor = supernet.head(x)
    return logits


def kept_bytes(supernet: Supernet, images: Tensor, paths: list[list[str]]) -> int:
    """The tensors that a forward pass saves for the backward pass."""
    with saved_tensors(supernet) as kept:
        forward(supernet, images, paths)
    return sum(kept.values())


@torch.no_grad()
def conv_outputs(supernet: Supernet, image: Tensor, count: int) -> float:
    """Values that all convolutions output per image with `count` choices per block; mean over samples."""
    made = 0

    def look(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal made
        if isinstance(module, nn.Conv2d):
            made += output.numel()

    handle = nn.modules.module.register_module_forward_hook(look)
    x = supernet.stem(image)
    total = float(made)
    for position, block in enumerate(supernet.blocks):
        keys = [choice.key for choice in supernet.space.blocks[position].choices]
        made = 0
        outs = [block(x, key) for key in keys]
        total += made * min(count, len(keys)) / len(keys)
        x = outs[0]
    made = 0
    supernet.head(x)
    handle.remove()
    return total + made


def timed(call: Callable[[], None]) -> tuple[float, int]:
    """Seconds, and the peak of the GPU's memory in bytes (0 without a GPU)."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    took_s = time.perf_counter() - began
    return took_s, torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0


if __name__ == "__main__":
    main()
