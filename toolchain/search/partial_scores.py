"""Partial scores of the current generation, so that a kill costs half a minute of work and not a generation.

The prefix trie finishes all its candidates at the same time, which takes an hour or more on a large data set. Between
two batches its state is only BN statistics and correct flags: a few megabytes, written from time to time. A search is
replayed from the journal; this file only saves work, so a damaged one is ignored.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from toolchain.spaces.core import Architecture
from toolchain.training.sealed_file import load_sealed, save_sealed
from toolchain.training.stored_fingerprint import StoredFingerprint

INTERVAL_S = 30.0


@dataclass(frozen=True)
class PartialState:
    """The state after `recalibrated` batches of recalibration and `scored` batches of the hold-out.

    Args:
        statistics: BN statistics of the candidates that are not stopped.
        correct: bool (candidates, hold-out images).
        losses: float64 (candidates,), sums of the cross-entropy over the images so far.
        stopped: the images that each candidate had seen when a race stopped it.
    """

    recalibrated: int
    scored: int
    statistics: list[Tensor]
    correct: Tensor
    losses: Tensor
    stopped: dict[int, int]

    def fits(self, statistics: Sequence[Tensor], correct: Tensor, losses: Tensor) -> bool:
        """Whether all shapes and types are those of these tensors."""
        own, others = (self.correct, self.losses, *self.statistics), (correct, losses, *statistics)
        return list(map(_form, own)) == list(map(_form, others))


def _form(tensor: Tensor) -> tuple[torch.Size, torch.dtype]:
    return tensor.shape, tensor.dtype


class PartialScores:
    """The file of one process."""

    def __init__(self, path: Path, fingerprint: StoredFingerprint, interval_s: float = INTERVAL_S) -> None:
        """`fingerprint` is what the scores depend on, as in the first line of the journal."""
        self._path, self._fingerprint, self._interval_s = path, dict(fingerprint), interval_s
        self._saved_at = time.monotonic()

    def load(self, archs: Sequence[Architecture], against: float | None) -> PartialState | None:
        """The state of a killed call with the same candidates and race threshold; None if there is none."""
        self._saved_at = time.monotonic()
        if not self._path.exists():
            return None
        try:
            content = load_sealed(self._path)
            same = content.pop("key") == self._key(archs, against)
            return PartialState(**content) if same else None
        except Exception:  # torch documents no errors for damaged files
            return None

    def save(self, archs: Sequence[Architecture], against: float | None, state: PartialState) -> None:
        """Write `state` atomically.

        Raises:
            RunFolderError: the disk is full or the folder is read-only.
        """
        save_sealed(self._path, {"key": self._key(archs, against), **vars(state)})
        self._saved_at = time.monotonic()

    def due(self) -> bool:
        """Whether the interval has passed since the last save."""
        return time.monotonic() - self._saved_at > self._interval_s

    def remove(self) -> None:
        """Delete the file; the scores are in the journal."""
        self._path.unlink(missing_ok=True)

    def _key(self, archs: Sequence[Architecture], against: float | None) -> dict[str, object]:
        return {"fingerprint": self._fingerprint, "candidates": [str(arch) for arch in archs], "against": against}
