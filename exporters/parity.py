"""Does the exported file compute what the module does?

Both are run on real images, with batch normalisation statistics from real images: a fresh network's outputs are
so small that any absolute tolerance lets everything pass. So the error is relative, and top-1 must agree.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from exporters.backends import Compiled
from exporters.errors import ParityFailed
from exporters.to_onnx import INPUT, OUTPUT

MOST_RELATIVE_ERROR = 1e-4  # float32 sums in another order differ by about 1e-6
LEAST_TOP1_AGREEMENT = 1.0
SAMPLED_BATCHES = 4  # of each size; a size's first batches show what is wrong with it


@dataclass(frozen=True)
class Parity:
    """How far a file is from its module, at the worst of the batch sizes."""

    relative_error: float  # max |file - module| / max |module|
    top1_agreement: float  # share of images with the same highest logit
    images: int
    batches: tuple[int, ...]


def compare(module: nn.Module, compiled: Compiled, images: NDArray[np.float32], batches: tuple[int, ...]) -> Parity:
    """Run images (N, C, H, W) through both, in batches of each size; the largest size sees all of them."""
    module = module.eval()
    worst, agreement = 0.0, 1.0
    for batch in batches:
        seen = images if batch == max(batches) else images[: batch * SAMPLED_BATCHES]
        pieces = [seen[start : start + batch] for start in range(0, len(seen), batch)]
        with torch.no_grad():
            expected = np.concatenate([module(torch.from_numpy(piece)).numpy() for piece in pieces])
        found = np.concatenate([compiled.run({INPUT: piece})[OUTPUT] for piece in pieces])
        error = float(np.abs(found - expected).max() / np.abs(expected).max())
        worst = max(worst, error if np.isfinite(error) else float("inf"))
        agreement = min(agreement, float((found.argmax(1) == expected.argmax(1)).mean()))
    return Parity(worst, agreement, len(images), batches)


def require(parity: Parity) -> None:
    """Let a file pass that computes what its module does.

    Raises:
        ParityFailed: it doesn't; the message has the figures.
    """
    if parity.relative_error > MOST_RELATIVE_ERROR or parity.top1_agreement < LEAST_TOP1_AGREEMENT:
        raise ParityFailed(
            f"the exported file does not compute what the network does: relative error {parity.relative_error:.1e} "
            f"({MOST_RELATIVE_ERROR:.0e} allowed), top-1 agreement {parity.top1_agreement:.2%} on {parity.images} "
            f"images. Nothing was exported. Report this with your versions of torch and onnxruntime"
        )
