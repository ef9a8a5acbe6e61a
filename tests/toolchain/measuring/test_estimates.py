"""Estimates through the commands: said to be estimates wherever they show, and never measured."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from latency_db.table import LatencyTable
from toolchain.check.gate import check
from toolchain.check.requirements import CheckedFile
from toolchain.config import Config
from toolchain.costs.latency import latency_cost, latency_model, network_key, network_prefix, stem_key
from toolchain.errors import BadConfig
from toolchain.measuring.estimates import estimate_network
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


@pytest.mark.long
def test_a_table_of_estimates_says_so(table: LatencyTable, space: SearchSpace) -> None:
    assert table.target.estimate
    assert {row.summary.n for row in table.records.values()} == {1}, "repeating a computation tells nothing"
    assert latency_cost(space, table).convention.startswith(
        "estimate, not measured: sum of estimated variants, batch 8"
    )


def test_parts_add_up_to_the_network(config: Config, table: LatencyTable, space: SearchSpace) -> None:
    arch = space.architecture([space.blocks[0].choices[0].key])
    whole = estimate_network(space, arch, "titanxp", batch=8, precision="fp32")
    # kernels are the same, whether a graph is cut between them or not
    assert latency_cost(space, table).cost(arch) == pytest.approx(whole, rel=1e-9)


def test_nothing_is_measured_under_an_estimate(config: Config, tmp_path: Path) -> None:
    file = tmp_path / "net.onnx"
    file.touch()
    with pytest.raises(BadConfig, match=r"nastool check measures, and titanxp would only be estimated"):
        check(config, CheckedFile(file, 17.0), None, Quiet())


@pytest.mark.long
def test_commands_say_estimate(nastool: Callable[..., Any], tmp_path: Path) -> None:
    small = "shufflenet_v2_quick:size_px=16,stem_channels=8,stage_widths=16,stage_repeats=1,head_channels=32"
    titan = ("--device", "titanxp", "--estimate", "--batch", "8", "--space", small)
    result = nastool("profile", *titan, cwd=tmp_path)
    assert result.code == 0, result.stderr
    assert "estimate, nothing was measured: shufflenet_v2/... on NVIDIA TITAN Xp, roofline" in result.stdout
    said = " ".join(result.stderr.split())
    assert "ESTIMATE: the latency of a network is the sum of these. The error against the device is not known" in said
    assert "missed by up to 8.5 %" in said
    assert "held-out" not in said  # that would be the estimate against itself
    assert "--device titanxp --batch 8 --estimate" in said
    answer = nastool("profile", *titan, "--json", cwd=tmp_path).json
    assert (answer["estimate"], answer["networks"], answer["calibration"]["networks"]) == (True, [], 0)
    cost = nastool("cost", *titan, "--arch", "choice_3", "--json", cwd=tmp_path).json
    assert cost["estimate"] is True
    assert cost["estimated_latency_ms"] == pytest.approx(cost["latency_ms"])
    assert cost["conventions"]["latency_ms"].startswith("estimate, not measured")
    assert "estimate, not measured" in nastool("cost", *titan, "--arch", "choice_3", cwd=tmp_path).stdout
    other = ("--device", "titanxp", "--estimate", "--batch", "64", "--space", small)
    refused = nastool("space", *other, "--latency", "1ms", cwd=tmp_path)
    assert refused.code == 2
    assert "batch: 64 here, 8 there. Run nastool profile --estimate with" in " ".join(refused.stderr.split())


def test_every_command_that_names_a_stack_says_estimate(
    nastool: Callable[..., Any], config: Config, table: Any
) -> None:
    db, stack = Path(config.profile.db), table.target.id
    for words in (
        "list",
        f"show {stack}",
        f"show {stack} --run 1",
        f"export {db.parent / 'out.json'} --force",
        f"diff {stack} {stack}",
    ):
        answer = nastool("db", *words.split(), "--db", str(db), cwd=db.parent)
        assert answer.code == 0, answer.stderr
        assert "ESTIMATE" in answer.stdout, words
    assert nastool("db", "export", "two.json", "--db", str(db), "--json", cwd=db.parent).json["estimates"] == 1
    assert nastool("db", "diff", stack, stack, "--db", str(db), "--json", cwd=db.parent).json["after_estimate"] is True


def test_an_estimate_is_not_calibrated_on_itself(config: Config, table: LatencyTable, space: SearchSpace) -> None:
    """Tables of before have whole networks as well: they change nothing."""
    arch = space.architecture([space.blocks[0].choices[0].key])
    assert not any(key.startswith(network_prefix(space)) for key in table.records)
    row = replace(table.records[stem_key(space)], key=network_key(space, arch))
    model = latency_model(space, replace(table, records={**table.records, row.key: row}))
    for cost in (model.predicted, model.upper):
        assert cost.cost(arch) == latency_cost(space, table).cost(arch)
    assert str(model.calibration) == "sum of variants; its error is unknown, and no margin is kept"
