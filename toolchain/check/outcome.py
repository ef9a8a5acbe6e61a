"""The outcomes of a check: pass, fail or inconclusive."""

from collections.abc import Iterable
from enum import StrEnum


class Outcome(StrEnum):
    """The three verdicts."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"

    @property
    def in_words(self) -> str:
        """What the check has done, for tables and reports."""
        return {Outcome.PASS: "passed", Outcome.FAIL: "failed"}.get(self, self.value)


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """The worst outcome; a failure outweighs an inconclusive one."""
    present = set(outcomes)
    return next((bad for bad in (Outcome.FAIL, Outcome.INCONCLUSIVE) if bad in present), Outcome.PASS)
