"""What best.json says of the finalists: who took part, what their trainings showed, and how sure the choice is."""

from typing import Annotated, Literal

from pydantic import Field

from toolchain.files import Count, Document, Milliseconds, Share

EARLIER = "earlier"  # strategy of a finalist that won an earlier search of the same budget
FinalistOutcome = Literal["winner", "tied", "behind", "dropped"]


class Finalist(Document):
    """One finalist.

    Args:
        strategy: what proposed it: evolution, `simple` for a network that a user would choose by hand, or `earlier` for
            a winner of an earlier search that this one would not have trained.
        inherited_accuracy: its score with weights of the supernet.
        trained_accuracy: on the hold-out, the mean of its trainings.
        latency_ms: measured; predicted where nothing is measured, None where that is unknown too.
        outcome: `tied` with the most accurate, significantly `behind` it, or `dropped` in an earlier round.
    """

    architecture: tuple[str, ...]
    strategy: str
    inherited_accuracy: Share
    trained_accuracy: Share
    trainings: Annotated[int, Field(gt=0)]
    macs: Count
    latency_ms: Milliseconds | None = None
    outcome: FinalistOutcome


class FinalistsReport(Document):
    """All finalists, the most accurate of the last round first.

    Args:
        statement: how sure the choice is, in words.
        separated: the winner is more accurate than all others of the last round, at 95 %.
        difference: accuracy of the most accurate minus that of the runner-up; None in older files with one finalist.
        half_width: half the width of the 95 % interval of `difference`; None after trainings with a single seed.
        epochs: of each training.
        seconds: of all trainings together.
        out_of_time: the time limit ended the trainings.
    """

    finalists: tuple[Finalist, ...]
    statement: str
    separated: bool
    difference: float | None = None
    half_width: float | None = None
    epochs: float
    seconds: Annotated[float, Field(ge=0)]
    out_of_time: bool = False
