"""The limits of a table or figure: one on MACs, one on any cost, or its own."""

from collections.abc import Mapping
from typing import Any

from toolchain.config import SearchConfig
from toolchain.errors import BadConfig
from toolchain.search.limits import LIMITED, count_budgets, read_limits

OWN = {
    "table5": "the MACs and latencies of published networks",
    "table6": "the BitOps of networks with the same bits everywhere",
    "table7": "none, since it does not search",
}
ANY = ("figure2", "figure3")  # the others rescale networks to MACs, or count them


def with_limit(name: str, flags: Mapping[str, Any]) -> Mapping[str, Any]:
    """The flags of a table, where a limit on another cost takes the place of the preset's limit on MACs.

    Raises:
        BadConfig: the table has its own limits.
    """
    given = [limited for limited in LIMITED if flags.get(f"search.{limited}")]
    if given and name in OWN:
        raise BadConfig(f"the limits of {name} are {OWN[name]}. Leave out --{given[0].replace('_', '-')}")
    if given and "macs" not in given and name in ANY:
        return {**flags, "search.macs": ()}
    return flags


def check_limit(name: str, search: SearchConfig) -> None:
    """Check that a table that does not have its own limits has one limit.

    Raises:
        BadConfig: there is none, there are several, or the table needs one on MACs.
        BadUnit: it is no amount.
    """
    if name in OWN:
        return
    given = [limited for limited in LIMITED if getattr(search, limited)]
    texts = ", ".join(f"{limited} = {', '.join(getattr(search, limited))}" for limited in given) or "none"
    if len(given) != 1 or count_budgets(read_limits(search)) != 1:
        raise BadConfig(f"{name} needs one limit, and the limits are {texts}. Give one, as --macs 1.2M")
    if given != ["macs"] and name not in ANY:
        raise BadConfig(f"{name} needs a limit on MACs, and the limit is {texts}. Give it as --macs 1.2M")
