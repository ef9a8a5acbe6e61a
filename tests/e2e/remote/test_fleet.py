"""A fleet of two simulated devices of different speed: a network for each, and one for both."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.long
Nastool = Callable[..., Any]

QUICK = f"cmd:{sys.executable} -S"
SLOW = f"cmd:env NASTOOL_SIMULATED_SPEED=0.5 {sys.executable} -S"
BOTH = ("--device", QUICK, "--device", SLOW, "--backend", "fake")
LIMIT_MS = 0.21  # the slow device needs 0.195 ms at least, and the quick one a half of that


@pytest.fixture(scope="module")
def trained(nastool: Nastool, settings: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table of both devices and one supernet."""
    folder = tmp_path_factory.mktemp("fleet")
    (folder / "nastool.toml").write_text(settings)
    profiled = nastool("profile", *BOTH, "--json", cwd=folder)
    assert profiled.code == 0, profiled
    quick, slow = (profiled.json["devices"][device]["rows"] for device in (QUICK, SLOW))
    for one, other in zip(quick, slow, strict=True):
        assert other["latency_ms"] == pytest.approx(2 * one["latency_ms"])
    assert nastool("train", cwd=folder).code == 0
    return folder


def winner_on(nastool: Nastool, folder: Path, device: str, name: str) -> float:
    """What the network of a winner measures on a device, by an export there."""
    best = json.loads((folder / "runs" / "r" / "search" / name / "best.json").read_text())
    arch = " ".join(best["architecture"])
    cost = nastool("cost", "--device", device, "--backend", "fake", "--arch", arch, "--json", cwd=folder)
    assert cost.code == 0, cost
    latency_ms: float = cost.json["latency_ms"]
    return latency_ms


def test_a_network_for_each_device(nastool: Nastool, trained: Path) -> None:
    answer = nastool("search", "--latency", f"{LIMIT_MS}ms", *BOTH, "--json", cwd=trained)
    assert answer.code == 0, answer
    winners = answer.json["winners"]
    assert list(winners) == ["latency_0.21ms@device-1", "latency_0.21ms@device-2"]
    assert len({winner["target"] for winner in winners.values()}) == 2
    for name, device in zip(winners, (QUICK, SLOW), strict=True):
        assert winners[name]["measured_upper_ms"] <= LIMIT_MS
        assert winner_on(nastool, trained, device, name) <= LIMIT_MS
    retrained = nastool("retrain", "--budget", "latency_0.21ms@device-2", cwd=trained)
    assert retrained.code == 0, retrained
    assert f"--device '{SLOW}'" in retrained.stderr, "the next command is for the device of this budget"
    again = nastool("search", "--latency", f"{LIMIT_MS}ms", *BOTH, "--json", cwd=trained)
    assert again.json == answer.json, "a search that is run again has the same result"


def test_one_network_for_both_devices(nastool: Nastool, trained: Path) -> None:
    answer = nastool("search", "--latency", f"{LIMIT_MS}ms", "--shared", *BOTH, "--json", cwd=trained)
    assert answer.code == 0, answer
    winner = answer.json
    assert winner["limits"] == {"latency_ms": LIMIT_MS, "latency_ms@device-2": LIMIT_MS}
    assert winner["measured_upper_ms"] <= LIMIT_MS
    (there,) = winner["elsewhere"].values()
    assert list(winner["elsewhere"]) == [SLOW]
    assert there["measured_upper_ms"] <= LIMIT_MS
    assert there["measured_latency_ms"] == pytest.approx(2 * winner["measured_latency_ms"])
    assert winner_on(nastool, trained, SLOW, "latency_0.21ms@all") <= LIMIT_MS
    report = nastool("report", "--json", cwd=trained).json
    (budget,) = [each for each in report["budgets"] if each["name"] == "latency_0.21ms@all"]
    assert {limit["cost"]: limit["bound"] for limit in budget["limits"]} == {
        "latency_ms": winner["measured_upper_ms"],
        "latency_ms@device-2": there["measured_upper_ms"],
    }
    assert budget["verdict"] == "met"
    verified = nastool("report", "--verify", "--json", cwd=trained)
    assert (verified.code, verified.json["differences"]) == (0, [])
    assert nastool("retrain", cwd=trained).code == 0
    for device in (QUICK, SLOW):  # its limit holds on each of them
        device = device.removesuffix(" -S")  # the export runs its file, which takes numpy
        exported = nastool("export", "--device", device, "--backend", "fake", "--json", cwd=trained)
        assert exported.code == 0, exported
        assert exported.json["measured_latency_ms"] <= LIMIT_MS


def test_a_limit_that_one_device_cannot_meet_names_it(nastool: Nastool, trained: Path) -> None:
    answer = nastool("search", "--latency", "0.16ms", *BOTH, cwd=trained)
    assert answer.code == 2
    assert "cmd:env NASTOOL_SIMULATED_SPEED=0.5" in answer.stderr
    assert "the least reachable is 0.19" in answer.stderr


def test_two_addresses_of_one_target_are_refused(nastool: Nastool, trained: Path) -> None:
    answer = nastool("profile", "--device", QUICK, "--device", f"{QUICK} -E", "--backend", "fake", cwd=trained)
    assert answer.code == 2
    assert "are the same target" in answer.stderr
