"""`nastool db fit`: from a CSV file to searches on a device that is not here."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from latency_db.store import open_store
from toolchain.config import Config, parse_config
from toolchain.costs.counters import macs_cost
from toolchain.errors import BadData
from toolchain.measuring.target_identity import regression_target
from toolchain.profiling.import_networks import fit_table, read_networks
from toolchain.search.budget import load_costs
from toolchain.spaces import load_space
from toolchain.spaces.core import SearchSpace

SPACE = "shufflenet_v2_quick"


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return load_space(SPACE)


@pytest.fixture(scope="module")
def lines(space: SearchSpace) -> list[str]:
    """120 networks whose latency is 2 ms and 5 us a thousand MACs, with 1 % of noise."""
    rng, macs = Random(0), macs_cost(space)
    archs = sorted({space.draw(rng) for _ in range(120)})
    return [f"{arch},{(2 + macs.cost(arch) * 5e-6) * (1 + 0.01 * rng.gauss(0, 1)):.6f}" for arch in archs]


def write(path: Path, lines: list[str], header: str = "architecture,latency_ms") -> Path:
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


@pytest.fixture
def config(tmp_path: Path) -> Config:
    db = str(tmp_path / "latency.sqlite")
    return parse_config("", {"profile": {"device": "titanxp", "backend": "regression", "batch": 32, "db": db}}, "test")


def test_the_fitted_table_predicts_and_says_what_it_is(
    space: SearchSpace, lines: list[str], config: Config, tmp_path: Path
) -> None:
    fitted = fit_table(config, space, write(tmp_path / "nets.csv", lines))
    assert fitted.networks == len(lines)
    assert fitted.fit.mape < 0.02
    latency = load_costs(space, fitted.target, config.profile.db, need_latency=True).latency
    assert latency is not None
    macs = macs_cost(space)
    rng = Random(7)
    for arch in (space.draw(rng) for _ in range(50)):
        assert latency.predicted.cost(arch) == pytest.approx(2 + macs.cost(arch) * 5e-6, rel=0.03)
    assert (latency.target.backend, latency.target.device_kind) == ("regression", "gpu")
    assert "regression" in latency.predicted.convention


def test_its_margin_is_from_networks_that_the_fit_has_not_seen(
    space: SearchSpace, lines: list[str], config: Config, tmp_path: Path
) -> None:
    fitted = fit_table(config, space, write(tmp_path / "nets.csv", lines))
    latency = load_costs(space, fitted.target, config.profile.db, need_latency=True).latency
    assert latency is not None
    assert latency.calibration.networks == len(lines)
    assert latency.calibration.mape == pytest.approx(fitted.fit.mape, rel=0.1)
    assert latency.calibration.margin > 0.01  # 1.6 standard deviations of 1 % of noise


def test_a_second_fit_stands_in_for_the_first(
    space: SearchSpace, lines: list[str], config: Config, tmp_path: Path
) -> None:
    """Each shares out the milliseconds among parts in its own way: rows of both would add up to neither."""
    fit_table(config, space, write(tmp_path / "nets.csv", lines))
    slower = [f"{line.split(',')[0]},{3 * float(line.split(',')[1])}" for line in lines[:60]]
    fitted = fit_table(config, space, write(tmp_path / "slower.csv", slower))
    latency = load_costs(space, fitted.target, config.profile.db, need_latency=True).latency
    assert latency is not None
    assert len(latency.measured_ms) == 60
    macs, rng = macs_cost(space), Random(7)
    for arch in (space.draw(rng) for _ in range(20)):
        assert latency.predicted.cost(arch) == pytest.approx(3 * (2 + macs.cost(arch) * 5e-6), rel=0.05)


def test_another_batch_or_device_is_another_table(
    space: SearchSpace, lines: list[str], config: Config, tmp_path: Path
) -> None:
    fit_table(config, space, write(tmp_path / "nets.csv", lines))
    for device, batch in (("titanxp", 1), ("t4", 32)):
        other = regression_target(device, "fp32", batch)
        with open_store(config.profile.db) as store:
            assert store.table(other, ["shufflenet_v2/stem:1x28px->16k3s2->16"]).records == {}


def test_fitted_latencies_of_0_can_be_searched(space: SearchSpace, config: Config, tmp_path: Path) -> None:
    """One choice is free, so its fitted latency is 0; a fit for a GPU is checked for noise as well."""
    rng = Random(0)
    archs = sorted({space.draw(rng) for _ in range(60)})
    lines = [
        f"{arch},{0.01 + sum(key != 'choice_3' for key in arch.choices) * (0.5 + 0.1 * rng.random())}" for arch in archs
    ]
    fitted = fit_table(config, space, write(tmp_path / "nets.csv", lines))
    assert 0.0 in fitted.fit.rows.values()
    latency = load_costs(space, fitted.target, config.profile.db, need_latency=True).latency
    assert latency is not None
    assert latency.predicted.least < 0.5


def test_bad_lines_are_named_and_nothing_is_stored(
    space: SearchSpace, lines: list[str], config: Config, tmp_path: Path
) -> None:
    path = write(
        tmp_path / "nets.csv", [*lines[:3], "choice_3 choice_3,1.0", lines[4], f"{lines[5]}x", "9 0 0 0 0 0 0 0,1"]
    )
    with pytest.raises(BadData) as caught:
        fit_table(config, space, path)
    text = str(caught.value)
    assert re.search(r"line 5: .* has 8 choice blocks, but 2 choices were given", text)
    assert "line 7:" in text
    assert "is not a latency in ms" in text
    assert "line 8: choice block 0" in text
    assert "nothing was stored" in text
    assert not Path(config.profile.db).exists()


@pytest.mark.parametrize("value", ["-1", "0", "nan", "inf", "", "fast"])
def test_what_is_no_latency(value: str, space: SearchSpace, lines: list[str], tmp_path: Path) -> None:
    arch = lines[0].partition(",")[0]
    with pytest.raises(BadData, match=r"line 2: .* is not a latency"):
        read_networks(write(tmp_path / "nets.csv", [f"{arch},{value}"]), space)


def test_columns_and_counts(space: SearchSpace, lines: list[str], tmp_path: Path) -> None:
    with pytest.raises(BadData, match="has no column latency_ms"):
        read_networks(write(tmp_path / "nets.csv", lines, header="architecture,ms"), space)
    with pytest.raises(BadData, match=r"has 3 different networks; a fit needs at least 10.*run the same command again"):
        read_networks(write(tmp_path / "nets.csv", lines[:3]), space)
    with pytest.raises(BadData, match="cannot read"):
        read_networks(tmp_path / "nowhere.csv", space)
    more = read_networks(
        write(tmp_path / "nets.csv", [f"{line},GPU" for line in lines], "architecture,latency_ms,where"), space
    )
    assert len(more) == len(lines)


def test_a_network_that_is_there_twice_counts_once(space: SearchSpace, lines: list[str], tmp_path: Path) -> None:
    arch, _, _ = lines[0].partition(",")
    latencies = read_networks(write(tmp_path / "nets.csv", [f"{arch},1.0", f"{arch},3.0", *lines[1:]]), space)
    assert latencies[space.architecture(arch)] == 2.0


def test_the_command(nastool: Callable[..., Any], lines: list[str], tmp_path: Path) -> None:
    write(tmp_path / "nets.csv", lines)
    words = ("db", "fit", "--space", SPACE, "--device", "titanxp", "--batch", "32", "--csv", "nets.csv")
    answer = nastool(*words, "--json", cwd=tmp_path)
    assert answer.code == 0, answer.stderr
    assert answer.json["networks"] == len(lines)
    assert answer.json["target"]["backend"] == "regression"
    assert {"mape", "tau", "skill", "more_networks", "learning_curve"} <= set(answer.json)
    people = nastool(*words, cwd=tmp_path)
    assert "fitted, not measured here" in people.stdout
    next_command = (
        r"Next: nastool search --latency \S+ms --space shufflenet_v2_quick --device titanxp --backend regression"
    )
    assert re.search(next_command, people.stderr)
    flags = ("--space", SPACE, "--device", "titanxp", "--backend", "regression")
    space = nastool("space", *flags, "--latency", "7.5ms", "--json", cwd=tmp_path)
    assert space.code == 0, space.stderr
    assert 0 < json.loads(space.stdout)["feasible"][0]["share"] < 1
    unknown = nastool(*("titanxq" if word == "titanxp" else word for word in words), cwd=tmp_path)
    assert unknown.code == 2
    assert "the device 'titanxq' is not attached to this machine, and unknown" in unknown.stderr
    profiled = nastool("profile", *flags, cwd=tmp_path)
    assert profiled.code == 5
    assert "so nothing can be measured with it" in profiled.stderr
