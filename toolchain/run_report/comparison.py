"""Comparing stored figures with computed ones: what was checked, and what differs."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import isclose

from toolchain.files import Count, Document

EXACT = 1e-9  # relative; the same sums are computed, in another order at most
MAX_SHOWN = 80  # characters of a value


class Verification(Document):
    """The result of `nastool report --verify`.

    Args:
        checked: number of figures that were computed again.
        differences: what differs, a sentence each.
        notes: what could not be checked, and why.
    """

    schema_version: int = 1
    checked: Count
    differences: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass
class Comparison:
    """Collects differences."""

    checked: int = 0
    differences: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def same(self, what: str, stored: object, computed: object, tolerance: float = 0.0) -> None:
        """Compare a stored value with a computed one.

        Args:
            what: file and field.
            tolerance: relative, for numbers.
        """
        self.checked += 1
        if not _same(stored, computed, tolerance):
            self.differences.append(f"{what} is {_shown(stored)}, but computed again it is {_shown(computed)}")

    def among(self, what: str, stored: object, known: Iterable[object], source: str) -> None:
        """Check that a stored value is one of those that `source` has."""
        self.checked += 1
        if stored not in list(known):
            self.differences.append(f"{what} is {_shown(stored)}, which {source} does not have")

    def holds(self, what: str, condition: bool) -> None:
        """Check a condition; `what` is the sentence to show if it is false."""
        self.checked += 1
        if not condition:
            self.differences.append(what)

    def whole(self, what: str, share: float, images: int | None) -> None:
        """Check that an accuracy is a whole number of correct images."""
        if images is not None:
            count = share * images
            self.holds(
                f"{what} is {share!r}, which is no whole number of {images} images", abs(count - round(count)) < 1e-6
            )

    def result(self) -> Verification:
        """What was compared so far."""
        return Verification(
            checked=self.checked, differences=tuple(self.differences), notes=tuple(dict.fromkeys(self.notes))
        )


def _same(stored: object, computed: object, tolerance: float) -> bool:
    if tolerance and isinstance(stored, int | float) and isinstance(computed, int | float):
        return isclose(stored, computed, rel_tol=tolerance, abs_tol=tolerance)
    return stored == computed


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
