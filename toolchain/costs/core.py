"""Costs and limits. Blocks have a fixed geometry, so each cost is a fixed part plus one number for each block."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from toolchain.spaces.core import Architecture
from toolchain.units import format_binary, format_count, format_ms

# What is counted, in words.
MACS = "multiply-adds of convolutions and classifier, batch 1"
PARAMS = "weights, and scale and offset of batch normalization"
BITOPS = "MACs x weight bits x activation bits of the choice blocks' convolutions, batch 1; Gi is 2^30"
WEIGHT_BITS = "all parameters, packed at their bit widths"


@dataclass(frozen=True)
class TableCost:
    """A cost as a table.

    Attributes:
        name: as in `--json`, such as `macs` or `latency_ms`.
        unit: of all values, such as `MACs` or `ms`.
        fixed: the value of stem and head.
        rows: for each choice block, the value of each choice by its key.
        convention: what is counted, in words. It is shown with the numbers, since conventions differ between papers.
        remark: an addition to messages about a limit on this cost.
    """

    name: str
    unit: str
    fixed: float
    rows: tuple[Mapping[str, float], ...]
    convention: str = ""
    remark: str = ""

    def cost(self, arch: Architecture) -> float:
        """The cost of one architecture, in `unit`."""
        return self.fixed + sum(row[key] for row, key in zip(self.rows, arch.choices, strict=True))

    @property
    def least(self) -> float:
        """The least cost in the space."""
        return self.fixed + sum(min(row.values()) for row in self.rows)

    @property
    def greatest(self) -> float:
        """The greatest cost in the space."""
        return self.fixed + sum(max(row.values()) for row in self.rows)

    def format(self, value: float) -> str:
        """`value` with its unit, rounded for display."""
        if self.unit == "ms":
            return format_ms(value)
        return format_binary(value) if self.unit == "BitOps" else format_count(value)

    def exact(self, value: float) -> str:
        """`value` with its unit and all digits that a limit needs."""
        return f"{value:.4f} ms" if self.unit == "ms" else f"{value:,.0f}"

    def least_limit(self) -> str:
        """The least cost in the space as text, rounded up so that it can be met if given as a limit."""
        return self.exact(ceil(self.least * 1e4) / 1e4 if self.unit == "ms" else self.least)


@dataclass(frozen=True)
class Limit:
    """A maximum for a cost, in the cost's unit."""

    cost: TableCost
    most: float

    def allows(self, arch: Architecture) -> bool:
        return self.cost.cost(arch) <= self.most

    def __str__(self) -> str:
        return f"{self.cost.name} <= {self.cost.format(self.most)}"


@dataclass(frozen=True)
class Budget:
    """Limits that must all hold. Without limits every architecture fits."""

    limits: tuple[Limit, ...] = ()

    def allows(self, arch: Architecture) -> bool:
        return all(limit.allows(arch) for limit in self.limits)

    def __str__(self) -> str:
        return ", ".join(map(str, self.limits)) or "no limit"
