"""The code map in CONTRIBUTING.md lists every folder and every root module of the packages, and nothing else."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("nastool", "cli", "toolchain", "exporters", "latency_db")


def map_entries(page: str) -> set[str]:
    """The paths in the first column of the tables of the section "Code map"."""
    section = page.partition("## Code map\n")[2].partition("\n## ")[0]
    first_cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {path for cell in first_cells for path in re.findall(r"`([^`]+)`", cell)}


def folders_and_modules(package: Path) -> set[str]:
    """Every folder with files of a package, and the modules at its root, as the map writes them."""
    files = [path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    folders = {f"{path.parent.relative_to(package.parent)}/" for path in files}
    modules = {str(path.relative_to(package.parent)) for path in package.glob("*.py") if path.name != "__init__.py"}
    return folders | modules


@pytest.mark.parametrize("package", PACKAGES)
def test_map_lists_every_folder_and_root_module(package: str) -> None:
    missing = folders_and_modules(ROOT / package) - map_entries((ROOT / "CONTRIBUTING.md").read_text())
    assert missing == set(), "add a row to the code map in CONTRIBUTING.md"


def test_map_lists_nothing_that_does_not_exist() -> None:
    existing = set().union(*(folders_and_modules(ROOT / package) for package in PACKAGES))
    assert map_entries((ROOT / "CONTRIBUTING.md").read_text()) - existing == set(), "remove the row from the code map"


def test_missing_folder_is_detected(tmp_path: Path) -> None:
    (tmp_path / "toolchain" / "new").mkdir(parents=True)
    (tmp_path / "toolchain" / "new" / "code.py").touch()
    (tmp_path / "toolchain" / "loose.py").touch()
    page = "## Code map\n| `toolchain/old/` | text |\n\n## Rules\n| `toolchain/new/` | another section |\n"
    assert map_entries(page) == {"toolchain/old/"}
    assert folders_and_modules(tmp_path / "toolchain") == {"toolchain/", "toolchain/new/", "toolchain/loose.py"}
