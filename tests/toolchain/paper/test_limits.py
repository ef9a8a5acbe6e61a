"""Each table has one limit, and is measured in a space that it can be measured in; all else is refused at once."""

from pathlib import Path
from typing import Any

import pytest

from toolchain.errors import BadConfig, UserError
from toolchain.paper.names import NAMES
from toolchain.paper.request import TableRequest
from toolchain.paper.tables import plan_table
from toolchain.progress import Quiet


def limits_of(name: str, flags: dict[str, Any], file: Path | None = None) -> dict[str, Any]:
    search = plan_table(TableRequest(name, file=file, flags=flags), Quiet()).config.search
    return {key: getattr(search, key) for key in ("latency", "macs", "bitops") if getattr(search, key)}


@pytest.mark.parametrize("name", NAMES)
def test_presets_have_the_limits_that_their_table_needs(name: str) -> None:
    assert list(limits_of(name, {})) == ([] if name in ("table5", "table6", "table7") else ["macs"])


@pytest.mark.parametrize(
    ("name", "flags", "problem"),
    [
        ("table3", {"search.macs": ("1M", "2M")}, "table3 needs one limit, and the limits are macs = 1M, 2M"),
        ("table1", {"search.macs": "300k..500k/2"}, "needs one limit"),
        ("table4", {"search.macs": ()}, "the limits are none"),
        ("table3", {"search.bitops": "1Gi"}, "needs one limit, and the limits are macs = 1.2M, bitops = 1Gi"),
        ("figure3", {"search.macs": "1M", "search.bitops": "1Gi"}, "figure3 needs one limit"),
        ("table4", {"search.macs": (), "search.latency": "1ms"}, "table4 needs a limit on MACs"),
        ("table5", {"search.macs": "1M"}, "the limits of table5 are the MACs and latencies of published networks"),
        ("table6", {"search.bitops": "1Gi"}, "Leave out --bitops"),
        ("table7", {"search.macs": "1M"}, "it does not search. Leave out --macs"),
        ("table5", {"space": "shufflenet_v2_quick"}, "table5 needs the space proxyless or proxyless_mobile"),
        ("table5", {"space": "my.py:space"}, "and my.py:space is another one. Give --space"),
        ("table6", {"space": "shufflenet_v2_quick:stage_repeats=3-3"}, "table6 needs the space resnet18_bits or"),
    ],
)
def test_refused(name: str, flags: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserError) as refused:
        limits_of(name, flags)
    assert problem in str(refused.value)


def test_another_limit_takes_the_place_of_that_of_a_figure() -> None:
    assert limits_of("figure2", {"search.bitops": "1Gi"}) == {"bitops": ("1Gi",)}


def test_a_file_does_not_turn_off_what_rows_come_from(tmp_path: Path) -> None:
    file = tmp_path / "nastool.toml"
    file.write_text("[search]\nrandom_search = false\npopulation = 7\n")
    for name in ("table1", "table3", "figure3"):
        search = plan_table(TableRequest(name, file=file), Quiet()).config.search
        assert (search.random_search, search.population) == (True, 7)


def test_two_limits_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "nastool.toml"
    file.write_text('[search]\nmacs = ["1M", "2M"]\n')
    with pytest.raises(BadConfig, match="the limits are macs = 1M, 2M"):
        limits_of("figure2", {}, file)
    assert limits_of("table6", {}, file) == {"macs": ("1M", "2M")}  # unused: its searches have their own
