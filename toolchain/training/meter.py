"""Mean loss, accuracy and speed of a training while it runs."""

import time
from collections.abc import Mapping

import torch
from torch import Tensor

OVERFLOWS = 16  # steps in fp16 that overflow one after the other before training counts as diverged
LOG_EVERY_S = 2.0  # interval of updates of the bar and TensorBoard


class Meter:
    """Mean loss, top-1 and images/s of all processes since the last log."""

    def __init__(self, step: int, device: torch.device, skips_overflow: bool = False) -> None:
        """`skips_overflow`: a scaler in fp16 skips single steps whose values overflow."""
        self.logged_step = step
        self._device = device
        self._skips_overflow = skips_overflow
        self._restart()

    def _restart(self) -> None:
        self._since = time.monotonic()
        self._sums = torch.zeros(2, device=self._device)  # stays there: reading it would wait for the GPU each step
        self._not_finite = torch.zeros((), device=self._device)
        self._batches = self._images = 0

    def add(self, seen: Tensor, images: int) -> None:
        """Add the mean loss and number of correct images of a batch, (2,)."""
        self._sums += seen
        self._not_finite += ~torch.isfinite(seen[0])
        self._batches += 1
        self._images += images

    def finite(self) -> bool:
        """Whether the loss was a number in each batch, except for single overflows that a scaler skips."""
        not_finite = int(self._not_finite)
        if self._skips_overflow:
            return not_finite < max(self._batches, OVERFLOWS)
        return not_finite == 0

    def due(self) -> bool:
        """Whether the last log is long enough ago for another."""
        return time.monotonic() - self._since > LOG_EVERY_S

    def values(self, lr: float) -> dict[str, float]:
        """The means by the names of their curves, and the learning rate `lr`."""
        loss, correct = self._sums.tolist()
        return {
            "loss": loss / self._batches,
            "accuracy": correct / self._images,
            "images_per_s": self._images / max(1e-9, time.monotonic() - self._since),
            "learning_rate": lr,
        }

    def restart(self, step: int) -> None:
        """Begin a new average after `step` was logged."""
        self.logged_step = step
        self._restart()


def note(values: Mapping[str, float]) -> str:
    """The values beside the progress bar."""
    loss, accuracy, speed = values["loss"], values["accuracy"], values["images_per_s"]
    return f"loss {loss:.3f}  top-1 {accuracy:.1%}  {speed:.0f} images/s  lr {values['learning_rate']:.3g}"
