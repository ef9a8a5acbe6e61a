"""What is known of candidates: a score, how it stands in the journal, and where it may be taken from it."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.search.journal import Journal
from toolchain.search.strategies import Proposal
from toolchain.spaces.core import Architecture

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Score:
    """Top-1 accuracy, 0 to 1: on the whole hold-out or, of a candidate that a race stopped, on its first `images`.

    In a race, `right` says of each image whether it was classified rightly.
    """

    accuracy: float
    images: int | None = None
    right: Flags | None = None

    @property
    def complete(self) -> bool:
        """On the whole hold-out. Others are estimates, which a race ended for good reason."""
        return self.images is None


@dataclass(frozen=True)
class RaceThreshold:
    """The candidate that others must keep up with in a race: its accuracy, and its images that were right."""

    accuracy: float
    right: Flags


class ScoreCache:
    """The scores in a journal, and a way to add some."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._lines: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for line in journal.lines:
            self._lines.setdefault(tuple(line["architecture"]), []).append(line)

    def find(self, arch: Architecture, reference: RaceThreshold | None) -> Score | None:
        """The score of `arch`, unless it is to be computed.

        A candidate that was stopped was so against a reference of its search. Where the present one is less
        accurate, as under a tighter budget, that says nothing. The first line that holds counts: a replay finds
        what the search found.
        """
        for line in self._lines.get(arch.choices, ()):
            if "images" not in line or (reference is not None and line["against"] <= reference.accuracy):
                return _score(line)
        return None

    def add(
        self,
        proposals: Sequence[Proposal],
        scores: Sequence[Score],
        reference: RaceThreshold | None,
        strategy: str,
        generation: int,
    ) -> None:
        """Write the scores of one generation, and wait until they are on the disk."""
        lines = []
        for proposal, score in zip(proposals, scores, strict=True):
            line: dict[str, Any] = {
                "architecture": list(proposal.architecture.choices),
                "accuracy": score.accuracy,
                "strategy": strategy,
                "generation": generation,
                "origin": proposal.origin,
            }
            if not score.complete:
                assert reference is not None
                line |= {"images": score.images, "against": reference.accuracy}
            elif score.right is not None:
                line["right"] = _packed(score.right)
            self._lines.setdefault(proposal.architecture.choices, []).append(line)
            lines.append(line)
        self._journal.extend(lines)


def _score(line: dict[str, Any]) -> Score:
    right = _unpacked(line["right"]) if "right" in line else None
    return Score(float(line["accuracy"]), line.get("images"), right)


def _packed(right: Flags) -> str:
    """A bit an image, as text; the number of images goes before it."""
    return f"{len(right)}:{base64.b64encode(np.packbits(right).tobytes()).decode()}"


def _unpacked(text: str) -> Flags:
    count, _, packed = text.partition(":")
    bits = np.unpackbits(np.frombuffer(base64.b64decode(packed), np.uint8), count=int(count))
    return bits.astype(np.bool_)
