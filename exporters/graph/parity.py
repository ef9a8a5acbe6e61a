"""Does the exported file compute what the module does?

Both are run on real images, with batch normalization statistics from real images. A fresh network's
statistics normalize nothing, so its activations shrink from layer to layer and any absolute tolerance lets
everything pass. So the error is relative to the largest logit, and each image's highest logit must agree.

A file of fewer bits is meant to compute something slightly else; each precision has a tolerance of its own, and
where rounding is coarse, what counts is the accuracy on labelled images.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from exporters.backends import Compiled
from exporters.errors import ParityFailed
from exporters.graph.to_onnx import INPUT, OUTPUT
from exporters.quantize.integer_check import Checked

RELATIVE_ERROR = 1e-4  # float32 sums in another order differ by about 1e-6, weights 1 % off by about 1e-2
TOP1_AGREEMENT = 1.0
ANY_DROP = 1.0
SAMPLED_BATCHES = 4  # of each size but the largest, which sees all images


@dataclass(frozen=True)
class Tolerance:
    """How far a file may be from its module, and how much accuracy it may lose (a share of the images, 0..1)."""

    relative_error: float = RELATIVE_ERROR
    top1_agreement: float = TOP1_AGREEMENT
    accuracy_drop: float = ANY_DROP


TOLERANCES: Mapping[str, Tolerance] = MappingProxyType(
    {
        "fp32": Tolerance(),  # what agrees on every image has the same accuracy
        # float16 has 11 bits: 5e-4 of a value, and about as much of the logits was seen on four families
        "fp16": Tolerance(5e-3, 0.99, 0.01),
        # 7 and 8 bits: 1e-2 of the logits was seen, and 1e-1 after a training of seconds, where logits lie so close
        # that 7 % of the images change class and the accuracy stays. It is the accuracy that is held: a point at most
        "int8": Tolerance(0.2, 0.9, 0.01),
        # 1 to 4 bits: one code on the other side of a tie changes many further on, so logits say little; 2e-2 and 9e-2
        # of them, and 1 % and 4 % of the images, were seen. Each layer is held to its integers besides
        "exact": Tolerance(0.2, 0.95, 0.005),
        "low_bit_int8": Tolerance(0.5, 0.9, 0.01),
    }
)

SUMS_WRONG = 1e-3  # a sum is rounded in float32: 1.5e-4 of the codes were seen to fall on the other side of a tie
ROUNDING = 1e-9  # of the difference of two shares
REPORT = "Report this with your versions of torch and onnxruntime"
REMEDIES = {
    "fp16": "Its values are too large or too small for 16 bits: ship fp32",
    "int8": "8 bits are too few for this network as it was trained: ship fp32 or fp16, or retrain it for longer",
    "low_bit_int8": "8 bits are too few for its shortcuts: ship the profile exact, or retrain it for longer",
}

Logits = NDArray[np.float32]


@dataclass(frozen=True)
class Parity:
    """How far a file is from its module, over all batch sizes."""

    relative_error: float  # max |file - module| / max |module|; infinite if that is no number
    top1_agreement: float  # share of images with the same highest logit, 0..1
    images: int
    batches: tuple[int, ...]

    def passes(self, relative_error: float = RELATIVE_ERROR, top1_agreement: float = TOP1_AGREEMENT) -> bool:
        """Is the error at most `relative_error` and the agreement at least `top1_agreement`?"""
        return self.relative_error <= relative_error and self.top1_agreement >= top1_agreement


def compare(
    module: nn.Module,
    compiled: Compiled | Mapping[int, Compiled],
    images: NDArray[np.float32],
    batches: tuple[int, ...] = (1, 2, 32),
) -> Parity:
    """Run `images` (N, C, H, W) through both, in batches of each size.

    Args:
        module: on the CPU, and left in the mode that it was in.
        compiled: the file, or one for each batch size where its backend fixes the size.
    """
    by_batch = compiled if isinstance(compiled, Mapping) else dict.fromkeys(batches, compiled)
    was_training = module.training
    module.eval()
    try:
        pairs = [
            (_module_logits(module, piece), by_batch[batch].run({INPUT: piece})[OUTPUT])
            for batch in batches
            for piece in _pieces(images, batch, everything=batch == max(batches))
        ]
    finally:
        module.train(was_training)
    expected, found = (np.concatenate(side) for side in zip(*pairs, strict=True))
    agreement = float((found.argmax(1) == expected.argmax(1)).mean())
    return Parity(_relative_error(expected, found), agreement, len(images), batches)


def require(parity: Parity, precision: str = "fp32") -> None:
    """Let a file pass that computes what its module does, as well as its precision lets it.

    Raises:
        ParityFailed: it doesn't; the message has the figures.
    """
    allowed = TOLERANCES[precision]
    if not parity.passes(allowed.relative_error, allowed.top1_agreement):
        raise ParityFailed(
            f"the exported {precision} file does not compute what the network does: relative error "
            f"{parity.relative_error:.1e} ({allowed.relative_error:.0e} allowed), top-1 agreement "
            f"{parity.top1_agreement:.2%} ({allowed.top1_agreement:.0%} demanded) on {parity.images} images. "
            f"Nothing was exported. {REMEDIES.get(precision, REPORT)}"
        )


def require_accuracy(before: float, after: float, precision: str, images: int, top1_agreement: float) -> None:
    """Let a file pass that is about as accurate as its module on the same images.

    Where a share of the images changes class, the accuracy changes by chance as well: of n images of which m change,
    by about sqrt(m) / n up or down. Twice that counts for nothing.

    Args:
        before, after: top-1 accuracy of module and file, 0..1.
        images: how many that was measured on.
        top1_agreement: of file and module, 0..1.

    Raises:
        ParityFailed: the file loses more than its precision may.
    """
    allowed = TOLERANCES[precision].accuracy_drop + 2 * math.sqrt((1 - top1_agreement) / images)
    if before - after > allowed + ROUNDING:
        raise ParityFailed(
            f"the exported {precision} file is less accurate than the network: {after:.2%} of the hold-out, and "
            f"{before:.2%} in torch ({allowed:.1%} less allowed on {images} images). Nothing was exported. "
            f"{REMEDIES.get(precision, REPORT)}"
        )


def require_codes(checked: Sequence[Checked]) -> None:
    """Let a file pass whose integer layers compute, in the runtime, what they say.

    Raises:
        ParityFailed: a convolution has a wrong code; or a sum has many, or one that is off by more than 1.
    """
    wrong = [layer for layer in checked if layer.wrong > (0 if layer.op == "Conv" else SUMS_WRONG * layer.codes)]
    wrong += [layer for layer in checked if layer.most_off > (0 if layer.op == "Conv" else 1)]
    if wrong:
        first = wrong[0]
        raise ParityFailed(
            f"ONNX Runtime computes other integers than the file says: {first.wrong} of {first.codes} codes behind "
            f"{first.name} are wrong, by up to {first.most_off}. Nothing was exported. {REPORT}"
        )


def require_folding(error: float) -> None:
    """Let a network of few bits pass whose layers compute, folded to integers, what they computed before.

    Args:
        error: the greatest of a layer, beyond the rounding of its bias, relative to its largest output.

    Raises:
        ParityFailed: it is not float32's rounding.
    """
    if not error <= RELATIVE_ERROR:
        raise ParityFailed(
            f"a layer folded to integers does not compute what it did: relative error {error:.1e} "
            f"({RELATIVE_ERROR:.0e} allowed). Nothing was exported. {REPORT}"
        )


def require_fused(found: int, promised: int) -> None:
    """Let a file pass of which ONNX Runtime runs enough convolutions in integers; else it is slower than float32.

    Raises:
        ParityFailed: it runs fewer.
    """
    if found < promised:
        raise ParityFailed(
            f"ONNX Runtime runs {found} of {promised} convolutions in integers, and the rest in float. Nothing was "
            f"exported. {REPORT}"
        )


def _pieces(images: NDArray[np.float32], batch: int, everything: bool) -> Iterator[NDArray[np.float32]]:
    """Batches of `batch` images; the last is smaller where they run out."""
    end = len(images) if everything else min(len(images), batch * SAMPLED_BATCHES)
    for start in range(0, end, batch):
        yield images[start : min(start + batch, end)]


def _module_logits(module: nn.Module, images: NDArray[np.float32]) -> Logits:
    with torch.no_grad():
        logits: Logits = module(torch.from_numpy(images)).numpy()
    return logits


def _relative_error(expected: Logits, found: Logits) -> float:
    largest = np.abs(expected).max()
    error = np.abs(found - expected).max()
    return float(error / largest) if largest > 0 and np.isfinite(error) else float("inf")
