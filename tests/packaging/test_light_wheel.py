"""`nastool-check`, the gate as a separate wheel, works where nothing but its dependencies is installed."""

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
import torch
from torch import nn

from exporters.graph.to_onnx import export_onnx

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "wheels/nastool-check"
PROJECT = tomllib.loads((FOLDER / "pyproject.toml").read_text())["project"]
WHOLE = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
HEAVY = ("torch", "scipy", "torchvision", "matplotlib", "PIL", "sklearn", "onnxscript", "tensorboard")


def name_of(requirement: str) -> str:
    return re.split(r"[ <>=;\[!~(]", requirement)[0].lower().replace("_", "-")


def test_its_dependencies_are_those_of_nastool() -> None:
    assert PROJECT["version"] == WHOLE["version"]
    own = set(PROJECT["dependencies"]) - {"onnxruntime>=1.31"}  # nastool lists it for some platforms only
    assert own <= set(WHOLE["dependencies"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked wheel, and links to what it needs of this environment; nothing else."""
    builders = pytest.importorskip("hatchling.builders.wheel", reason="pip install hatchling")
    folder = tmp_path_factory.mktemp("light")
    (built,) = builders.WheelBuilder(str(FOLDER)).build(directory=str(folder), versions=["standard"])
    site = folder / "site"
    zipfile.ZipFile(built).extractall(site)
    for name in needed(PROJECT["dependencies"]):
        link_distribution(name, site)
    return site


def needed(requirements: list[str]) -> set[str]:
    """All distributions that these need, as far as they are installed here."""
    known: set[str] = set()
    rest = [name_of(text) for text in requirements if "extra ==" not in text]
    while rest:
        name = rest.pop().replace("onnxruntime", "onnxruntime-gpu")  # the one that is installed here
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        if name not in known:
            known.add(name)
            rest += [name_of(text) for text in found.requires or () if "extra ==" not in text]
    return known


def link_distribution(name: str, site: Path) -> None:
    files = metadata.distribution(name).files or ()
    for top in {file.parts[0] for file in files if file.parts[0] not in ("..", "__pycache__")}:
        source = Path(str(metadata.distribution(name).locate_file(top)))
        if not (site / top).exists():
            (site / top).symlink_to(source)


def nastool_check(site: Path, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-S", "-c", "from cli.light import app; app()", *words],  # -S: without this environment
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def model(tmp_path: Path) -> Path:
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 10)).eval()
    export_onnx(net, torch.zeros(2, 1, 8, 8), tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def test_nothing_heavy_is_installed(site: Path) -> None:
    assert [name for name in HEAVY if (site / name).exists()] == []


@pytest.mark.long
def test_check_with_a_budget_and_with_another_build(site: Path, model: Path) -> None:
    flags = ("--latency", "1s", "--baseline", str(model), "--max-regression", "50%", "--max-seconds", "20", "--json")
    answer = nastool_check(site, "check", str(model), *flags, cwd=model.parent)
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["verdict"] == "pass"
    assert json.loads(answer.stdout)["target"]["exporter"] == ""


@pytest.mark.long
def test_a_slow_file_fails(site: Path, model: Path) -> None:
    answer = nastool_check(site, "check", str(model), "--latency", "0.001us", "--max-seconds", "5", cwd=model.parent)
    assert answer.returncode == 1, answer.stderr


@pytest.mark.long
def test_bench(site: Path, model: Path) -> None:
    answer = nastool_check(site, "bench", str(model), str(model), "--rounds", "10", "--json", cwd=model.parent)
    assert answer.returncode == 0, answer.stderr
    assert len(json.loads(answer.stdout)["entries"]) == 2
    table = nastool_check(site, "bench", str(model), "--rounds", "10", cwd=model.parent)
    assert table.returncode == 0, table.stderr
    assert "model.onnx" in "".join(table.stdout.replace("│", " ").split())


@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("bench", "torchvision:resnet18"), "torchvision:resnet18 needs torchvision, which is not installed here"),
        (("bench", "data"), "nastool bench data needs torch, which is not installed here. Install nastool for it"),
        (("bench", "data", "--data", "folder:photos"), "nastool bench data needs torch, which is not installed here"),
        (("bench", "model.onnx", "--picture", "p.png"), "--picture needs matplotlib, which is not installed here"),
        (("bench", "model.onnx", "--accuracy", "test"), "--accuracy needs torch, which is not installed here"),
    ],
)
def test_what_needs_nastool_says_so(site: Path, model: Path, words: tuple[str, ...], reason: str) -> None:
    answer = nastool_check(site, *words, cwd=model.parent)
    assert answer.returncode == 2
    assert reason in " ".join(answer.stderr.split())
