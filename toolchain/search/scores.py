"""The scores of candidates, and the journal as their cache."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, AliasChoices, Field, model_validator

from toolchain.errors import BadDocument
from toolchain.files import Count, Share
from toolchain.search.journal import REMEDY, Journal, JournalLine
from toolchain.search.strategies import Proposal
from toolchain.spaces.core import Architecture

Flags = NDArray[np.bool_]
ScoreName = Literal["accuracy", "loss"]  # what candidates are ranked by


@dataclass(frozen=True)
class Score:
    """Top-1 accuracy, 0 to 1: on the whole hold-out, or on its first `images` if a race stopped the candidate.

    In a race, `correct` says for each image whether it was classified correctly. `loss` is the mean cross-entropy in
    nats on the whole hold-out, without label smoothing; None if it is unknown.
    """

    accuracy: float
    images: int | None = None
    correct: Flags | None = None
    loss: float | None = None

    @property
    def complete(self) -> bool:
        """Whether the accuracy is that of the whole hold-out."""
        return self.images is None


@dataclass(frozen=True)
class RaceThreshold:
    """The candidate that others are compared with in a race: its accuracy, and its correct images."""

    accuracy: float
    correct: Flags


def pack(flags: Flags) -> str:
    """The number of flags and one bit for each as base64: `700:/7+...`."""
    return f"{len(flags)}:{base64.b64encode(np.packbits(flags).tobytes()).decode()}"


def unpack(text: str) -> Flags:
    """The flags of `pack`.

    Raises:
        ValueError: the text has another format, or another number of bits than it says.
    """
    count, _, packed = text.partition(":")
    try:
        content = np.frombuffer(base64.b64decode(packed, validate=True), np.uint8)
    except binascii.Error as problem:
        raise ValueError(str(problem)) from None
    if not count.isdecimal() or len(content) != -(-int(count) // 8):
        raise ValueError(f"{count[:20]} flags do not fit {len(content)} bytes")
    return np.unpackbits(content, count=int(count)).astype(np.bool_)


def _unpackable(text: str) -> str:
    unpack(text)
    return text


PackedFlags = Annotated[str, AfterValidator(_unpackable)]  # the text of `pack`


class CandidateLine(JournalLine):
    """The score of a candidate, and which strategy proposed it when.

    Args:
        origin: crossover, mutation or random.
        images: how many images the candidate had seen when a race stopped it.
        against: the accuracy of the candidate that it was compared with.
        correct: packed flags, of candidates that a race did not stop; nastool 0.1.0 called it `right`.
        loss: mean cross-entropy on the hold-out, in a search that ranks by it.
    """

    accuracy: Share
    strategy: str
    generation: Count
    origin: str
    images: Annotated[int, Field(gt=0)] | None = None
    against: Share | None = None
    correct: PackedFlags | None = Field(None, validation_alias=AliasChoices("correct", "right"))
    loss: Annotated[float, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _stopped_by_a_race(self) -> "CandidateLine":
        if (self.images is None) != (self.against is None):
            raise ValueError("images and against are given together")
        return self

    @property
    def score(self) -> Score:
        return Score(self.accuracy, self.images, None if self.correct is None else unpack(self.correct), self.loss)

    def ranks_by(self, score: ScoreName) -> bool:
        """Whether the line has the value that candidates are ranked by."""
        return score == "accuracy" or self.loss is not None


def require_flags(journal: Journal[CandidateLine], images: int) -> None:
    """Check the journal of a race: a complete score has a flag for each of the `images` of the hold-out.

    Raises:
        BadDocument: a line has not, or its accuracy is another one than that of its flags.
    """
    for number, line in enumerate(journal.lines, 2):
        if line.images is not None:
            continue
        correct = line.score.correct
        if correct is None or len(correct) != images or int(correct.sum()) / images != line.accuracy:
            raise BadDocument(
                f"line {number} of {journal.path} is damaged: correct: there must be {images} flags whose mean is the "
                f"accuracy. {REMEDY}"
            )


class ScoreCache:
    """The scores in a journal, and a method to add some."""

    def __init__(self, journal: Journal[CandidateLine], score: ScoreName = "accuracy") -> None:
        """`score`: lines without this value are not used, and only this value is written."""
        self._journal = journal
        self._score = score
        self._lines: dict[tuple[str, ...], list[CandidateLine]] = {}
        for line in journal.lines:
            self._lines.setdefault(line.architecture, []).append(line)

    def find(self, arch: Architecture, threshold: RaceThreshold | None) -> Score | None:
        """The score of `arch`, or None if it must be computed.

        The score of a stopped candidate is valid only if the present threshold is at least as accurate as the one
        that stopped it. The first valid line counts, so that a replay reads what the search read.
        """
        for line in self._lines.get(arch.choices, ()):
            if not line.ranks_by(self._score):
                continue
            if line.against is None or (threshold is not None and line.against <= threshold.accuracy):
                return line.score if self._score == "loss" else replace(line.score, loss=None)
        return None

    def adopt(self, proposals: Sequence[Proposal], strategy: str, generation: int) -> None:
        """Note in the journal that `strategy` proposed candidates whose complete score came from another strategy.

        Without it, a later search would not know that it may choose them: docs/decisions/0041.
        """
        adopted = []
        for proposal in proposals:
            lines = [line for line in self._lines.get(proposal.architecture.choices, ()) if line.images is None]
            lines = [line for line in lines if line.ranks_by(self._score)]
            if lines and all(line.strategy != strategy for line in lines):
                changes = {"strategy": strategy, "generation": generation, "origin": proposal.origin}
                adopted.append(lines[0].model_copy(update=changes))
        for line in adopted:
            self._lines[line.architecture].append(line)
        if adopted:
            self._journal.extend(adopted)

    def add(
        self,
        proposals: Sequence[Proposal],
        scores: Sequence[Score],
        threshold: RaceThreshold | None,
        strategy: str,
        generation: int,
    ) -> None:
        """Write the scores of one generation and wait until they are on the disk."""
        lines = [
            CandidateLine(
                architecture=proposal.architecture.choices,
                accuracy=score.accuracy,
                strategy=strategy,
                generation=generation,
                origin=proposal.origin,
                images=score.images,
                against=None if score.complete or threshold is None else threshold.accuracy,
                correct=pack(score.correct) if score.complete and score.correct is not None else None,
                loss=score.loss if self._score == "loss" else None,
            )
            for proposal, score in zip(proposals, scores, strict=True)
        ]
        for line in lines:
            self._lines.setdefault(line.architecture, []).append(line)
        self._journal.extend(lines)
