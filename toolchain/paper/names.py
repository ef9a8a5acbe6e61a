"""The names of the tables and figures that can be measured."""

from collections.abc import Sequence

from toolchain.errors import BadConfig

NAMES = ("table1", "table3", "table4", "table5", "table6", "table7", "figure2", "figure3")
ALL = "all"


def require_names(names: Sequence[str]) -> tuple[str, ...]:
    """The tables and figures that a user named, each once; `all` stands for all of them.

    Raises:
        BadConfig: one does not exist.
    """
    if unknown := [name for name in names if name not in (*NAMES, ALL)]:
        raise BadConfig(
            f"the paper has no {unknown[0]!r} that can be measured. There are {', '.join(NAMES)}, and {ALL}"
        )
    return NAMES if ALL in names else tuple(dict.fromkeys(names))
