"""Measure training steps by precision and compilation: the supernet, one of its paths, and torchvision's network.

    python benchmarks/step_kinds.py [--space NAME] [--batch N] [--steps N] [--compiled] [--seed N]

On a GPU in fp32 and in the mixed precision of `auto`; on a CPU, which emulates mixed precision, in fp32 only.
`--compiled` adds torch.compile for each choice block. All variants take the same steps alternately; compilation and
memory allocation happen before. torchvision's shufflenet_v2_x1_0 has half the MACs of the paper's networks, so its
images/s are only a point of reference.
"""

import argparse
import platform
from collections.abc import Callable
from functools import partial
from random import Random
from statistics import median, quantiles

import torch
from table7 import timed
from torch import nn

from exporters.devices.attached import attached
from toolchain.nets.compiled import compile_parts
from toolchain.nets.depthwise import accelerate_depthwise
from toolchain.nets.network import initialize
from toolchain.nets.supernet import Supernet
from toolchain.spaces import load_space
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.training.data import Preprocessing
from toolchain.training.optimizer import build_optimizer
from toolchain.training.passes import Pass, Passes, through
from toolchain.training.precision import FP32, Precision, compute_device, precision_of
from toolchain.training.recipe import load_recipe
from toolchain.training.stepper import Stepper
from toolchain.training.strategies import Path

LEARNING_RATE = 1e-4  # random images carry no signal
SUPERNET, PATH, TORCHVISION = "supernet", "one path of it", "torchvision shufflenet_v2_x1_0"
Step = Callable[[Architecture], None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="shufflenet_v2")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    device, space = compute_device(), load_space(args.space)
    if space.in_channels != 3:
        parser.error(f"torchvision's network takes color images, and {args.space} has {space.in_channels} channel")
    precisions = {precision.dtype: precision for precision in (FP32, precision_of("auto", device, space.quantized))}
    kinds = {
        (name, str(precision.dtype).removeprefix("torch."), "compiled" if compiled else "eager"): step_of(
            name, space, args.batch, precision, compiled, args.seed
        )
        for name in (SUPERNET, PATH, TORCHVISION)
        for precision in precisions.values()
        for compiled in ((False, True) if args.compiled else (False,))
    }
    rng = Random(args.seed)
    paths = [space.draw(rng) for _ in range(args.steps)]
    for step in kinds.values():  # compile each choice, allocate memory
        for key in range(max(len(block.choices) for block in space.blocks)):
            step(space.architecture([b.choices[min(key, len(b.choices) - 1)].key for b in space.blocks]))
    took: dict[tuple[str, str, str], list[float]] = {kind: [] for kind in kinds}
    peaks = dict.fromkeys(kinds, 0)
    for path in paths:
        for kind in rng.sample(list(kinds), k=len(kinds)):
            before = (
                torch.cuda.memory_allocated() if device.type == "cuda" else 0
            )  # includes the weights of the other networks
            seconds, peak = timed(partial(kinds[kind], path))
            took[kind].append(seconds)
            peaks[kind] = max(peaks[kind], peak - before)
    where = torch.cuda.get_device_name() if device.type == "cuda" else attached()[0].model
    print(f"{where}, 1 thread, {platform.system()} {platform.machine()}")
    print(f"{args.space}, batch {args.batch}, {args.steps} steps each, torch {torch.__version__}")
    print()
    print(f"{'':<32}{'':<10}{'':<10}{'images/s':>9}{'step ms (quartiles)':>26}{'peak MiB':>10}")
    for (name, precision, way), seconds_of in took.items():
        low, _, high = (1e3 * value for value in quantiles(seconds_of, n=4))
        middle = f"{1e3 * median(seconds_of):.1f} ({low:.1f} - {high:.1f})"
        peak_mib = f"{peaks[name, precision, way] / 2**20:.0f}" if device.type == "cuda" else "no GPU"
        rate = args.batch / median(seconds_of)
        print(f"{name:<32}{precision:<10}{way:<10}{rate:>9.0f}{middle:>26}{peak_mib:>10}")


def step_of(name: str, space: SearchSpace, batch: int, precision: Precision, compiled: bool, seed: int) -> Step:
    """One training step, as in `toolchain.training.loop`; only the supernet's depends on the path."""
    device = compute_device()
    first = space.draw(Random(seed))
    supernet = Supernet(space)
    initialize(supernet, torch.Generator().manual_seed(seed))
    net: nn.Module = supernet if name == SUPERNET else supernet.extract(first)
    if name == TORCHVISION:
        from torchvision.models import shufflenet_v2_x1_0

        net = shufflenet_v2_x1_0(num_classes=space.classes)
    net.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    if device.type == "cpu":
        accelerate_depthwise(net)
    if compiled:
        compile_parts(net)
    taken = first

    def plan(_: int) -> Passes:
        return through(net, [Path(taken)]) if isinstance(net, Supernet) else Passes([Pass(net)])

    recipe = load_recipe("quick", "supernet", {"lr": LEARNING_RATE})
    half = (0.5,) * space.in_channels
    preprocessing = Preprocessing(space.size_px, half, half)
    stepper = Stepper(plan, preprocessing, build_optimizer(net, recipe), precision.scaler(device), precision, 0.0)
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (batch, *space.input_shape), dtype=torch.uint8, generator=generator).to(device)
    labels = torch.randint(space.classes, (batch,), generator=generator).to(device)

    def step(path: Architecture) -> None:
        nonlocal taken
        taken = path
        stepper(pixels, labels, 0)

    return step


if __name__ == "__main__":
    main()
