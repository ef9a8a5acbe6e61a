"""Item of the GPU report: a step and an evaluation of the supernet, and the memory of one, two and all paths (Table 7).

    python benchmarks/gpu_supernet.py [--compile]

Steps are those of benchmarks/table7.py, in fp32 and in bf16, eager or compiled for each choice of each block. The
paths are sampled uniformly, the same for each precision.
"""

import argparse
from collections.abc import Callable
from functools import partial
from random import Random

import torch
from gpu_items import answer, cannot, has_gpu, median_ms, peak_mib
from gpu_training import Training, new_supernet, random_batch
from table7 import forward
from torch import Tensor

from toolchain.nets.compiled import compile_parts
from toolchain.spaces import load_space
from toolchain.spaces.core import SearchSpace

Paths = list[list[str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compile", action="store_true")
    compiled = parser.parse_args().compile
    if compiled and not has_gpu():
        cannot("compiled steps are for GPUs, and torch sees none here")
    space = load_space("shufflenet_v2" if has_gpu() else "shufflenet_v2_quick")
    batch, steps = (128, 20) if has_gpu() else (8, 2)
    results: dict[str, object] = {"space": space.name, "batch": batch, "steps": steps, "compiled": compiled}
    for precision in ("fp32", "bf16") if has_gpu() else ("fp32",):
        results[precision] = measure(space, batch, steps, precision, compiled)
    answer(results)


def measure(space: SearchSpace, batch: int, steps: int, precision: str, compiled: bool) -> dict[str, object]:
    """Milliseconds, images per second and MiB of each kind of step, and of an evaluation."""
    training = _Steps(space, batch, precision)
    if compiled:
        compile_parts(training.supernet)
    results: dict[str, object] = {}
    for name, count in (("one path", 1), ("two paths", 2), ("all paths", None)):
        if compiled and count != 1:
            continue
        # a compiled choice compiles at its first use, so each choice is used once before it is timed
        warm_up = [training.all_once(number) for number in range(training.most)] if compiled else []
        for paths in warm_up:
            training.step(paths)
        sampled = training.sampler(count)
        ms = median_ms(partial(training.step_on, sampled), steps)
        peak = peak_mib(partial(training.step, sampled()))
        results[name] = {"step_ms": ms, "images_per_s": round(batch / ms * 1e3), "peak_mib": peak}
    sampled = training.sampler(1)
    results["evaluation_ms"] = median_ms(lambda: training.evaluate(sampled()), steps)
    return results


class _Steps:
    """Steps of a supernet on random images, in one precision."""

    def __init__(self, space: SearchSpace, size: int, precision: str) -> None:
        self.space = space
        self.most = max(len(block.choices) for block in space.blocks)
        self.supernet = new_supernet(space)
        self._training = Training(self.supernet, lr=1e-3, precision=precision)
        self._batch = random_batch(space, size, torch.Generator().manual_seed(0))

    def sampler(self, count: int | None) -> Callable[[], Paths]:
        """A function that draws the paths of a step; None for all paths."""
        rng = Random(0)

        def draw() -> Paths:
            drawn = []
            for block in self.space.blocks:
                keys = [choice.key for choice in block.choices]
                drawn.append(keys if count is None else rng.sample(keys, min(count, len(keys))))
            return drawn

        return draw

    def all_once(self, number: int) -> Paths:
        """The path with choice `number` of each block, or its last one."""
        return [[block.choices[min(number, len(block.choices) - 1)].key] for block in self.space.blocks]

    def step(self, paths: Paths) -> None:
        self._training.step(self._batch, partial(self._forward, paths))

    def step_on(self, draw: Callable[[], Paths]) -> None:
        self.step(draw())

    @torch.no_grad()
    def evaluate(self, paths: Paths) -> Tensor:
        with self._training.autocast():
            return self._forward(paths, self._batch.images)

    def _forward(self, paths: Paths, images: Tensor) -> Tensor:
        return forward(self.supernet, images, paths)


if __name__ == "__main__":
    main()
