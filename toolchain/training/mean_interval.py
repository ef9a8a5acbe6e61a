"""The mean of several results, such as accuracies of several seeds, with its interval by Student's t."""

from collections.abc import Sequence
from math import sqrt
from statistics import fmean, stdev
from typing import Annotated

from pydantic import Field

from toolchain.files import Document

LEVEL = 0.95


class MeanInterval(Document):
    """A mean and half the width of its 95 % interval, in the unit of the values.

    Args:
        half_width: None for a single value, which says nothing of how much results vary.
    """

    count: Annotated[int, Field(gt=0)]
    mean: float
    half_width: float | None = None

    @property
    def percent(self) -> str:
        """Of shares: `73.41% +- 0.52 points`"""
        width = "" if self.half_width is None else f" +- {self.half_width * 100:.2f} points"
        return f"{self.mean:.2%}{width}"


def mean_interval(values: Sequence[float]) -> MeanInterval:
    """The mean of `values`, of which there is at least one."""
    count, mean = len(values), fmean(values)
    if count == 1:
        return MeanInterval(count=1, mean=mean)
    from scipy.special import stdtrit  # takes long to import

    half_width = float(stdtrit(count - 1, (1 + LEVEL) / 2)) * stdev(values) / sqrt(count)
    return MeanInterval(count=count, mean=mean, half_width=half_width)
