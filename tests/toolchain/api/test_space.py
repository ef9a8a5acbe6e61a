"""The space of the Python API gives the figures of the commands."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import nastool
from toolchain.errors import BadConfig, BudgetInfeasible, UnknownSpace

TINY = "shufflenet_v2_quick:size_px=16,stem_channels=8,stage_widths=16-24,stage_repeats=2-2,head_channels=32"


def test_costs_are_those_of_the_command(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    space = nastool.Space(TINY)
    arch = space.architecture([0, 1, 2, 3])
    answer = request.getfixturevalue("nastool")("cost", "--space", TINY, "--arch", str(arch), "--json", cwd=tmp_path)
    assert space.cost(arch) == {name: answer.json[name] for name in ("macs", "params", "bitops", "weight_bits")}
    assert space.cost("0 1 2 3") == space.cost(list(arch.choices)) == space.cost(arch)


def test_feasible_architectures_are_within_the_limits() -> None:
    space = nastool.Space(TINY)
    assert space.size == 256
    feasible = space.feasible({"macs": "31k"})
    assert 0 < feasible.count < 256
    assert space.feasible(macs="31k").count == feasible.count
    with pytest.raises(BudgetInfeasible, match="least"):
        space.feasible({"macs": "1k"})


def test_a_module_computes_logits() -> None:
    space = nastool.Space(TINY)
    assert space.torch(space.draw(3))(torch.zeros(2, 1, 16, 16)).shape == (2, 10)


def test_mistakes_are_errors_of_nastool(tmp_path: Path) -> None:
    with pytest.raises(UnknownSpace, match="unknown space 'nothing'"):
        _ = nastool.Space("nothing").size
    with pytest.raises(BadConfig, match=r"the nearest is profile\.batch"):
        nastool.Space(TINY).latency("0 1 2 3", bach=8)
    with pytest.raises(nastool.NastoolError, match=r"there is no run 'pets' in .*\. Existing runs: none"):
        nastool.load_run("pets", tmp_path)


def test_the_import_is_light() -> None:
    """No torch and no runtime before something is computed."""
    script = "import sys, nastool; print(sorted({'torch', 'onnx', 'onnxruntime'} & set(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"
