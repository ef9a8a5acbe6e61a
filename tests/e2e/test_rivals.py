"""A rival by its commands: training, the networks of its distribution, and a limit that it does not guarantee."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.long  # whole commands

Nastool = Callable[..., Any]


@pytest.fixture(scope="module")
def trained(settings: str, nastool: Nastool, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rival")
    (folder / "nastool.toml").write_text(settings)
    answer = nastool("train", "--strategy", "two-path", "--architecture-lr", "0.1", "--cost-weight", "0", cwd=folder)
    assert answer.code == 0, answer.stderr
    assert "Next: nastool search --learned 1" in answer.stderr
    return folder


def test_the_most_probable_network_is_measured_and_retrained(nastool: Nastool, trained: Path) -> None:
    learned = json.loads((trained / "runs/r/supernet/architecture.json").read_text())
    answer = nastool("search", "--learned", "1", "--json", cwd=trained)
    assert answer.code == 0, answer.stderr
    assert answer.json["architecture"] == learned["architecture"]
    assert answer.json["strategy"] == "learned"
    assert answer.json["measured_latency_ms"] > 0
    retrained = nastool("retrain", "--arch", "runs/r/supernet/architecture.json", "--json", cwd=trained)
    assert retrained.code == 0, retrained.stderr
    assert retrained.json["architecture"] == learned["architecture"]


def test_a_limit_is_hard_for_learned_networks_too(nastool: Nastool, trained: Path) -> None:
    within = nastool("search", "--learned", "8", "--macs", "48k", "--json", cwd=trained)
    assert within.code == 0, within.stderr
    assert within.json["macs"] <= 48_000
    learned = json.loads((trained / "runs/r/supernet/architecture.json").read_text())
    macs = _macs(nastool, trained, learned["architecture"])
    over = nastool("search", "--learned", "1", "--macs", str(macs - 1), cwd=trained)
    assert over.code == 2
    assert "none of the 1 learned networks is within macs <= " in over.stderr
    assert "the most probable has macs of" in over.stderr


def test_seeds_count_how_often_a_limit_is_kept(settings: str, nastool: Nastool, tmp_path: Path) -> None:
    (tmp_path / "nastool.toml").write_text(settings)
    answer = nastool("train", "--strategy", "policy", "--epochs", "0.1", "--seeds", "0..3", cwd=tmp_path)
    assert answer.code == 0, answer.stderr
    files = sorted((tmp_path / "runs").glob("*/supernet/architecture.json"))
    costs = sorted(_macs(nastool, tmp_path, json.loads(file.read_text())["architecture"]) for file in files)
    assert costs[0] < costs[-1]
    answer = nastool(
        "search", "--seeds", "0..3", "--learned", "1", "--macs", str(costs[-1] - 1), "--json", cwd=tmp_path
    )
    within = sum(cost < costs[-1] for cost in costs)
    assert answer.code == 2
    assert answer.json["within_limits"] == answer.json["means"]["macs"]["count"] == within
    assert f"{within} of 4 seeds have a network within the limits. seed " in answer.stderr


def _macs(nastool: Nastool, folder: Path, architecture: list[str]) -> int:
    macs: int = nastool("cost", "--arch", " ".join(architecture), "--json", cwd=folder).json["macs"]
    return macs


def test_evolution_searches_the_supernet_of_a_rival(nastool: Nastool, trained: Path) -> None:
    answer = nastool("search", "--macs", "31k", "--no-random-search", "--json", cwd=trained)
    assert answer.code == 0, answer.stderr
    assert (answer.json["strategy"], answer.json["macs"] <= 31_000) == ("evolution", True)


def test_another_supernet_has_no_distribution(settings: str, nastool: Nastool, tmp_path: Path) -> None:
    (tmp_path / "nastool.toml").write_text(settings)
    assert nastool("train", "--epochs", "0.1", cwd=tmp_path).code == 0
    answer = nastool("search", "--learned", "1", cwd=tmp_path)
    assert answer.code == 2
    assert "--learned needs a supernet that was trained with architecture parameters" in answer.stderr
