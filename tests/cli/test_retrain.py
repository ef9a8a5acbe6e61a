"""`nastool retrain --published`: the space and the run of a published network."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from toolchain.config import load_config

Nastool = Callable[..., Any]
DIGITS = "fbnet:size_px=32,classes=10,in_channels=1"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--published fbnet_z", "unknown published network 'fbnet_z'. Known: fbnet_a, fbnet_b"),
        ("--published fbnet_c --arch k3e1", "--arch and --published both select an architecture. Give only one"),
        ("--published fbnet_c --budget macs_1M", "--budget and --published both select an architecture"),
        ("--published fbnet_c", "digits has 10 classes and the space fbnet has 1000. Write --space fbnet:classes=10"),
    ],
)
def test_refusals_change_nothing(words: str, expected: str, nastool: Nastool, tmp_path: Path) -> None:
    answer = nastool("retrain", "--data", "digits", *words.split(), cwd=tmp_path)
    assert answer.code == 2
    assert expected in answer.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.long
def test_a_published_network_in_its_own_run(nastool: Nastool, tmp_path: Path) -> None:
    (tmp_path / "nastool.toml").write_text('run = "mine"\nspace = "shufflenet_v2_quick"\ndata = "digits"\n')
    quick = ("--published", "fbnet_c", "--recipe", "quick", "--epochs", "0.01")
    answer = nastool("retrain", *quick, "--space", DIGITS, cwd=tmp_path)
    assert answer.code == 0, answer.stderr
    assert [run.name for run in (tmp_path / "runs").iterdir()] == ["fbnet_c"]
    assert load_config(tmp_path / "runs/fbnet_c/config.toml", {}).space == DIGITS
    assert "Next: nastool export --arch 'k3e1 k3e6 skip" in answer.stderr
    assert "--run fbnet_c" in answer.stderr
    other = nastool("retrain", *quick, "--space", DIGITS.replace("32", "64"), cwd=tmp_path)
    assert other.code == 2
    assert "contradicts the run fbnet_c, which was made with space fbnet:size_px=32" in other.stderr
