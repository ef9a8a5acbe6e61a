"""WHAT a network costs. Blocks have a fixed outside, so each cost is a fixed part plus one number a block."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from toolchain.spaces.core import Architecture
from toolchain.units import format_binary, format_count, format_ms


@dataclass(frozen=True)
class TableCost:
    """A cost as a table: `fixed` (stem and head) plus one row a choice block, one number a choice key.

    `convention` says in words what is counted; it is shown with the numbers, since others count otherwise. `remark`
    is what to know of a limit on it.
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
        """The least cost that the space reaches."""
        return self.fixed + sum(min(row.values()) for row in self.rows)

    @property
    def greatest(self) -> float:
        """The greatest cost that the space reaches."""
        return self.fixed + sum(max(row.values()) for row in self.rows)

    def format(self, value: float) -> str:
        """`value` with its unit, rounded for reading."""
        if self.unit == "ms":
            return format_ms(value)
        return format_binary(value) if self.unit == "BitOps" else format_count(value)

    def exact(self, value: float) -> str:
        """`value` with its unit and all digits that matter for a limit."""
        return f"{value:.4f} ms" if self.unit == "ms" else f"{value:,.0f}"

    def least_limit(self) -> str:
        """The least cost that is reached, rounded up: typed as a limit, it can be met."""
        return self.exact(ceil(self.least * 1e4) / 1e4 if self.unit == "ms" else self.least)


@dataclass(frozen=True)
class Limit:
    """A cost and the most it may be, in the cost's unit."""

    cost: TableCost
    most: float

    def allows(self, arch: Architecture) -> bool:
        return self.cost.cost(arch) <= self.most

    def __str__(self) -> str:
        return f"{self.cost.name} <= {self.cost.format(self.most)}"


@dataclass(frozen=True)
class Budget:
    """Limits that must all hold. Without limits everything fits."""

    limits: tuple[Limit, ...] = ()

    def allows(self, arch: Architecture) -> bool:
        return all(limit.allows(arch) for limit in self.limits)

    def __str__(self) -> str:
        return ", ".join(map(str, self.limits)) or "no limit"
