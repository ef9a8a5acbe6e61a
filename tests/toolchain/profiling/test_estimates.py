"""Estimates through the commands: said to be estimates wherever they show, and never measured."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from latency_db.table import LatencyTable
from toolchain.check.gate import check
from toolchain.config import Config
from toolchain.costs.latency import latency_cost
from toolchain.errors import BadConfig
from toolchain.profiling.estimates import estimate_network
from toolchain.profiling.measure import measure
from toolchain.profiling.profiler import profile
from toolchain.progress import Quiet
from toolchain.spaces import load_space
from toolchain.spaces.core import SearchSpace


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    """One choice block: exporting a part takes most of a profile's time."""
    return load_space("shufflenet_v2_quick:size_px=16,stem_channels=8,stage_widths=16,stage_repeats=1,head_channels=32")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    db = tmp_path_factory.mktemp("db") / "latency.sqlite"
    return Config(profile={"device": "titanxp", "estimate": True, "batch": 8, "networks": 4, "db": str(db)})


@pytest.fixture(scope="module")
def table(config: Config, space: SearchSpace) -> LatencyTable:
    return profile(config, space, Quiet()).table


def test_a_table_of_estimates_says_so(table: LatencyTable, space: SearchSpace) -> None:
    assert table.context.estimate
    assert {row.summary.n for row in table.rows.values()} == {1}, "repeating a computation tells nothing"
    assert latency_cost(space, table).convention.startswith("estimate, not measured: sum of estimated parts, batch 8")


def test_parts_add_up_to_the_network(config: Config, table: LatencyTable, space: SearchSpace) -> None:
    arch = space.architecture([space.blocks[0].choices[0].key])
    whole = estimate_network(config.profile, space, arch)
    # kernels are the same, whether a graph is cut between them or not
    assert latency_cost(space, table).cost(arch) == pytest.approx(whole, rel=1e-9)


def test_nothing_is_measured_under_an_estimate(config: Config, tmp_path: Path) -> None:
    file = tmp_path / "net.onnx"
    file.touch()
    with pytest.raises(BadConfig, match=r"nothing is measured under --estimate: titanxp is not here"):
        measure({"net": file}, config.profile, 0, Quiet())
    with pytest.raises(BadConfig, match=r"a check measures, and titanxp is only estimated here"):
        check(config, file, 17.0, None, Quiet())


def test_commands_say_estimate(nastool: Callable[..., Any], tmp_path: Path) -> None:
    small = "shufflenet_v2_quick:size_px=16,stem_channels=8,stage_widths=16,stage_repeats=1,head_channels=32"
    titan = ("--device", "titanxp", "--estimate", "--batch", "8", "--space", small)
    told = nastool("profile", *titan, cwd=tmp_path)
    assert told.code == 0, told.stderr
    assert "estimate, nothing was measured: shufflenet_v2/... on NVIDIA TITAN Xp, roofline" in told.stdout
    assert nastool("profile", *titan, "--json", cwd=tmp_path).json["estimate"] is True
    cost = nastool("cost", *titan, "--arch", "choice_3", "--json", cwd=tmp_path).json
    assert cost["estimate"] is True
    assert cost["estimated_latency_ms"] == pytest.approx(cost["latency_ms"])
    assert cost["conventions"]["latency_ms"].startswith("estimate, not measured")
    assert "estimate, not measured" in nastool("cost", *titan, "--arch", "choice_3", cwd=tmp_path).stdout
