"""`nastool space`: blocks, size, costs and what fits, for people and for programs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cli import console

MODELS = Path(__file__).parents[1] / "toolchain" / "nets" / "model_space" / "models.py"
# Least MACs of the paper's space: exact sums over all 4^20, as in tests/golden/test_feasible_numbers.py.
LEAST = "270,359,360"
# Exact numbers of shufflenet_v2_quick, and the shares of the last block's choices in constraint sampling
QUICK_NUMBERS = ("65,536", "976,728", "1,452,736", "1,256,062,976", "0.0305%", "25.1", "24.6", "25.8")


def test_for_programs(nastool: Callable[..., Any], tmp_path: Path) -> None:
    answer = nastool("space", "--space", "shufflenet_v2", "--macs", "300M", "--macs", "330M", "--json", cwd=tmp_path)
    assert answer.code == 0
    report = answer.json
    assert (report["space"], report["size"], len(report["blocks"])) == ("shufflenet_v2", 4**20, 20)
    assert report["blocks"][0] == {
        "block": "16x112px->64s2",
        "choices": ["choice_3", "choice_5", "choice_7", "choice_x"],
    }
    assert report["costs"].keys() == {"macs", "params", "bitops", "weight_bits"}
    assert f"{report['costs']['macs']['least']:,}" == LEAST
    assert [feasible["limits"] for feasible in report["feasible"]] == [{"macs": 300_000_000}, {"macs": 330_000_000}]
    assert [feasible["exact"] for feasible in report["feasible"]] == [True, True]
    assert list(tmp_path.iterdir()) == [], "counting writes nothing"


def test_for_people(nastool: Callable[..., Any], tmp_path: Path) -> None:
    answer = nastool("space", "--space", "shufflenet_v2", "--macs", "330M", cwd=tmp_path)
    assert answer.code == 0
    for part in ("1,099,511,627,776", LEAST, "398,609,216", "58.9193%", "<- limit 330.00M", "64x56px->160s2", "█"):
        assert part in answer.stdout
    assert "latency_ms: the block variants are not measured" in answer.stderr


@pytest.mark.parametrize("columns", [80, 40])
def test_numbers_are_whole_on_a_narrow_terminal(
    columns: int, nastool: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "_out", Console(soft_wrap=True, width=columns))
    answer = nastool("space", "--space", "shufflenet_v2_quick", cwd=tmp_path)
    assert answer.code == 0
    for number in QUICK_NUMBERS:
        assert number in answer.stdout


@pytest.mark.long
def test_many_choices_and_a_note(nastool: Callable[..., Any], tmp_path: Path) -> None:
    """Too many different sums of two costs: the bounds are said, and that they are bounds."""
    answer = nastool("space", "--space", "shufflenet_v2_joint", "--macs", "330M", "--params", "4M", cwd=tmp_path)
    assert answer.code == 0
    assert "1.268e+30 architectures" in answer.stdout
    assert "at least" in answer.stdout
    assert "counted on a grid of" in answer.stderr


def test_what_fits_nothing_is_an_error(nastool: Callable[..., Any], tmp_path: Path) -> None:
    answer = nastool("space", "--space", "shufflenet_v2", "--macs", "270M", cwd=tmp_path)
    assert answer.code == 2
    assert f"the least reachable is {LEAST}" in answer.stderr
    assert answer.stdout == ""


def test_latency_needs_a_table(nastool: Callable[..., Any], tmp_path: Path) -> None:
    answer = nastool("space", "--space", "shufflenet_v2", "--latency", "17ms", cwd=tmp_path)
    assert answer.code == 2
    assert "nastool profile" in answer.stderr


def test_the_space_of_a_model_says_what_keeps_its_width(nastool: Callable[..., Any], tmp_path: Path) -> None:
    name = f"model:{MODELS}:cumulative:size_px=16"
    report = nastool("space", "--space", name, "--json", cwd=tmp_path).json
    assert report["notes"] == ["blocks.0, blocks.1: channels that the operator cumsum reads or writes keep their width"]
    assert report["blocks"][0] == {"block": "16x16px->16s1", "choices": ["cumulative", "skip"]}
    assert report["notes"][0] in nastool("space", "--space", name, cwd=tmp_path).stderr


def test_a_model_that_cannot_be_traced_is_the_users_mistake(nastool: Callable[..., Any], tmp_path: Path) -> None:
    answer = nastool("space", "--space", f"model:{MODELS}:Dynamic", cwd=tmp_path)
    assert answer.code == 2
    assert "control flow must not depend on values or shapes of tensors" in " ".join(answer.stderr.split())
