"""The journal of whole networks that searches have measured."""

from pydantic import AliasChoices, Field

from toolchain.files import AnchorMs, Count, Milliseconds
from toolchain.search.journal import JournalLine


class MeasuredLine(JournalLine):
    """One measurement of one network.

    nastool 0.1.0 called the target `context` and the time of the anchor network `reference_ms`, 0 if unknown; its first
    lines have no upper end.

    Args:
        time: 0 for the first measurement, 1 for its repetition.
        upper_ms: the upper end of the one-sided 95 % interval.
        target: the id of the target.
    """

    time: Count
    latency_ms: Milliseconds
    upper_ms: Milliseconds | None = None
    unstable: str = ""
    anchor_ms: AnchorMs = Field(None, validation_alias=AliasChoices("anchor_ms", "reference_ms"))
    target: str = Field(validation_alias=AliasChoices("target", "context"))
