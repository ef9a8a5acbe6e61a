"""Checks that an exported file computes what the module does.

Both are run on real images, with batch normalization statistics from real images. The statistics of a fresh network
normalize nothing, so its activations shrink from layer to layer and any file passes an absolute tolerance. So the
error is relative to the largest logit, and the highest logit of each image must agree.

A file of lower precision computes something slightly different. Each precision has its own tolerance; if rounding is
coarse, the accuracy on labeled images decides.
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
from exporters.graph.interface import INPUT, OUTPUT
from exporters.quantize.integer_check import LayerCheck

RELATIVE_ERROR = 1e-4  # float32 sums in another order differ by about 1e-6, weights 1 % off by about 1e-2
TOP1_AGREEMENT = 1.0
ANY_DROP = 1.0
SAMPLED_BATCHES = 4  # for each batch size but the largest, which is run on all images


@dataclass(frozen=True)
class Tolerance:
    """The largest accepted difference of a file from its module; `accuracy_drop` is a share of the images, 0..1."""

    relative_error: float = RELATIVE_ERROR
    top1_agreement: float = TOP1_AGREEMENT
    accuracy_drop: float = ANY_DROP


TOLERANCES: Mapping[str, Tolerance] = MappingProxyType(
    {
        "fp32": Tolerance(),  # if all images agree, the accuracy is the same
        # float16 has 11 bits: 5e-4 of a value; about as much of the logits was measured on four families
        "fp16": Tolerance(5e-3, 0.99, 0.01),
        # 7 and 8 bits: 1e-2 of the logits was measured, and 1e-1 after a training of seconds, when logits are so close
        # that 7 % of the images change class at the same accuracy. So the accuracy decides: it may drop by one point
        "int8": Tolerance(0.2, 0.9, 0.01),
        # 1 to 4 bits: one code on the other side of a tie changes many further on, so logits say little; 2e-2 and 9e-2
        # of the logits, and 1 % and 4 % of the images, were measured. The integers of each layer are checked as well
        "exact": Tolerance(0.2, 0.95, 0.005),
        "low_bit_int8": Tolerance(0.5, 0.9, 0.01),
    }
)

WRONG_SUMS = 1e-3  # share of codes behind a sum, which is rounded in float32; 1.5e-4 were measured to tie differently
ROUNDING = 1e-9  # error of the difference of two shares
REPORT = "Report this with your versions of torch and onnxruntime"
REMEDIES = {
    "fp16": "Its values are too large or too small for 16 bits: export it in fp32",
    "int8": "8 bits are too few for this network as it was trained: export fp32 or fp16, or retrain it for longer",
    "low_bit_int8": "8 bits are too few for its shortcuts: export the profile exact, or retrain it for longer",
}

Logits = NDArray[np.float32]


@dataclass(frozen=True)
class Parity:
    """The difference between a file and its module, over all batch sizes.

    Args:
        relative_error: max |file - module| / max |module|; infinite if an output is infinite or NaN.
        top1_agreement: share of images with the same highest logit, 0..1.
        module_is_finite: whether all outputs of the module are finite; if not, no file can be compared with it.
    """

    relative_error: float
    top1_agreement: float
    images: int
    batches: tuple[int, ...]
    module_is_finite: bool = True

    def passes(self, relative_error: float = RELATIVE_ERROR, top1_agreement: float = TOP1_AGREEMENT) -> bool:
        """Whether the error is at most `relative_error` and the agreement at least `top1_agreement`."""
        return self.relative_error <= relative_error and self.top1_agreement >= top1_agreement


def compare(
    module: nn.Module,
    compiled: Compiled | Mapping[int, Compiled],
    images: NDArray[np.float32],
    batches: tuple[int, ...] = (1, 2, 32),
) -> Parity:
    """Run `images` (N, C, H, W) through module and file, in batches of each size.

    Args:
        module: on the CPU; its training mode is restored.
        compiled: the file, or one file for each batch size if its backend fixes the size.
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
    expected, actual = (np.concatenate(logits) for logits in zip(*pairs, strict=True))
    agreement = float((actual.argmax(1) == expected.argmax(1)).mean())
    is_finite = bool(np.isfinite(expected).all())
    return Parity(_relative_error(expected, actual), agreement, len(images), batches, is_finite)


def require(parity: Parity, precision: str = "fp32", name: str = "") -> None:
    """Check that a file computes what its module does, within the tolerance of its precision.

    Args:
        name: of the file, for messages; default: its precision.

    Raises:
        ParityFailed: it does not, or outputs of the module are not finite.
    """
    if not parity.module_is_finite:
        raise ParityFailed(
            f"the network's own outputs are infinite or NaN on some of {parity.images} images, so no file can be "
            f"compared with it. Nothing was exported. Retrain it with a lower learning rate, or check the input data"
        )
    allowed = TOLERANCES[precision]
    if not parity.passes(allowed.relative_error, allowed.top1_agreement):
        raise ParityFailed(
            f"the exported {name or f'{precision} file'} does not compute what the network does: relative error "
            f"{parity.relative_error:.1e} ({allowed.relative_error:.0e} allowed), top-1 agreement "
            f"{parity.top1_agreement:.2%} ({allowed.top1_agreement:.0%} required) on {parity.images} images. "
            f"Nothing was exported. {REMEDIES.get(precision, REPORT)}"
        )


def require_accuracy(
    before: float, after: float, precision: str, images: int, top1_agreement: float, name: str = ""
) -> None:
    """Check that a file is about as accurate as its module on the same images.

    If some of the images change class, the accuracy also changes by chance: of n images of which m change, by about
    sqrt(m) / n. Twice that is accepted in addition to the tolerance.

    Args:
        before: top-1 accuracy of the module, 0..1.
        after: top-1 accuracy of the file, 0..1.
        images: the number of images that the accuracies were measured on.
        top1_agreement: between file and module, 0..1.
        name: of the file, for messages; default: its precision.

    Raises:
        ParityFailed: the file loses more accuracy than its precision explains.
    """
    allowed = TOLERANCES[precision].accuracy_drop + 2 * math.sqrt((1 - top1_agreement) / images)
    if before - after > allowed + ROUNDING:
        raise ParityFailed(
            f"the exported {name or f'{precision} file'} is less accurate than the network: {after:.2%} of the "
            f"hold-out, and {before:.2%} in torch ({allowed:.1%} less allowed on {images} images). "
            f"Nothing was exported. {REMEDIES.get(precision, REPORT)}"
        )


def require_codes(checked: Sequence[LayerCheck]) -> None:
    """Check that the runtime computes the integers that the file states.

    Raises:
        ParityFailed: a convolution has a wrong code; or a sum has many wrong codes, or one that is off by more than 1.
    """
    wrong = [layer for layer in checked if layer.wrong > (0 if layer.op == "Conv" else WRONG_SUMS * layer.codes)]
    wrong += [layer for layer in checked if layer.max_error > (0 if layer.op == "Conv" else 1)]
    if wrong:
        first = wrong[0]
        raise ParityFailed(
            f"ONNX Runtime computes other integers than the file says: {first.wrong} of {first.codes} codes behind "
            f"{first.name} are wrong, by up to {first.max_error}. Nothing was exported. {REPORT}"
        )


def require_folding(error: float) -> None:
    """Check that the layers of a low-bit network compute the same after they are folded to integers.

    Args:
        error: the largest error of a layer beyond the rounding of its bias, relative to its largest output.

    Raises:
        ParityFailed: the error is larger than float32 rounding.
    """
    if not error <= RELATIVE_ERROR:
        raise ParityFailed(
            f"a layer folded to integers does not compute what it did before: relative error {error:.1e} "
            f"({RELATIVE_ERROR:.0e} allowed). Nothing was exported. {REPORT}"
        )


def require_fused(integer_convolutions: int, required: int) -> None:
    """Check that ONNX Runtime runs enough convolutions in integers; with fewer, a file is slower than float32.

    Raises:
        ParityFailed: it runs fewer than `required`.
    """
    if integer_convolutions < required:
        raise ParityFailed(
            f"ONNX Runtime runs {integer_convolutions} of {required} convolutions in integers and the others in float. "
            f"Nothing was exported. {REPORT}"
        )


def _pieces(images: NDArray[np.float32], batch: int, everything: bool) -> Iterator[NDArray[np.float32]]:
    """Batches of `batch` images; the last one may be smaller."""
    end = len(images) if everything else min(len(images), batch * SAMPLED_BATCHES)
    for start in range(0, end, batch):
        yield images[start : min(start + batch, end)]


def _module_logits(module: nn.Module, images: NDArray[np.float32]) -> Logits:
    with torch.no_grad():
        logits: Logits = module(torch.from_numpy(images)).numpy()
    return logits


def _relative_error(expected: Logits, actual: Logits) -> float:
    if not (np.isfinite(expected).all() and np.isfinite(actual).all()):
        return math.inf
    largest = float(np.abs(expected).max())
    error = float(np.abs(actual - expected).max())
    if error == 0:
        return 0.0
    return error / largest if largest > 0 else math.inf
