"""The wheel contains the five packages with type information and presets, and nothing else."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("cli", "exporters", "latency_db", "nastool", "toolchain")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    builders = pytest.importorskip("hatchling.builders.wheel", reason="pip install hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    (built,) = builders.WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    return Path(built)


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


def test_contains_only_the_five_packages(names: set[str]) -> None:
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == set(PACKAGES)
    assert not [name for name in names if "test" in name or name.endswith((".pyc", ".sqlite", ".onnx", ".pt"))]


def test_contains_every_file_of_the_packages(names: set[str]) -> None:
    here = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert here - names == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_is_typed(package: str, names: set[str]) -> None:
    assert f"{package}/py.typed" in names


def test_metadata(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as content:
        (entry_points,) = (name for name in content.namelist() if name.endswith("entry_points.txt"))
        assert "nastool = cli.main:app" in content.read(entry_points).decode()
        (metadata,) = (name for name in content.namelist() if name.endswith(".dist-info/METADATA"))
        text = content.read(metadata).decode()
    assert "Name: nastool\n" in text
    assert "Requires-Python: >=3.11\n" in text
    assert "License-Expression: Apache-2.0\n" in text


def test_works_without_the_sources(wheel: Path, tmp_path: Path) -> None:
    """The unpacked wheel works alone: it contains presets and recipes."""
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = (
        "import cli.main, sys; print(cli.main.__file__)\n"
        "from toolchain.training.recipe import load_recipe, names\n"
        "print(*names(), load_recipe('imagenet', 'supernet', {}).lr)\n"
        "sys.argv = ['nastool', 'init']; cli.main.app()\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    where, recipes = process.stdout.splitlines()
    assert Path(where).is_relative_to(tmp_path)
    assert recipes == "finetune imagenet photos quick 0.5"  # 0.5: the learning rate of the paper (Sec. 4)
    assert (tmp_path / "nastool.toml").exists()
