"""pyproject.toml: each dependency has a comment with its reason, and each import has a dependency."""

import ast
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from cli.main import app

ROOT = Path(__file__).parents[2]
PACKAGES = ("cli", "exporters", "latency_db", "toolchain")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Optional: imported if installed (extras `tensorrt`, `pycuda`, `timm` and `mlflow`).
OPTIONAL = {"tensorrt", "tensorrt_rtx", "pycuda", "cuda", "timm", "mlflow"}


def test_every_dependency_has_its_reason() -> None:
    """The reason is a comment on its line, or on the line above a group of the same package."""
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    listed = [*PROJECT["dependencies"], *(d for group in PROJECT["optional-dependencies"].values() for d in group)]
    for dependency in listed:
        number = max(n for n, line in enumerate(lines) if f'"{dependency}"' in line)  # not the build section
        own = re.search(r'",?\s+# \w.{5,}', lines[number])
        above = number - 1
        while f'"{name_of(dependency)}' in lines[above]:
            above -= 1
        assert own or lines[above].strip().startswith("# "), f"{dependency}: add a comment with its reason"


def test_every_dependency_has_a_lower_bound() -> None:
    for dependency in PROJECT["dependencies"]:
        assert re.match(r"[a-z0-9-]+>=\d", dependency), dependency


def test_no_dependency_is_listed_twice() -> None:
    """Entries with different conditions (after the semicolon) are allowed."""
    for group in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()):
        listed = [(name_of(dependency), dependency.partition(";")[2]) for dependency in group]
        assert len(set(listed)) == len(listed)


def test_tensorrt_installs_without_the_cuda_toolkit() -> None:
    """pycuda is built from source, so it has an extra of its own; `gpu` has both."""
    extras = {name: {name_of(entry) for entry in group} for name, group in PROJECT["optional-dependencies"].items()}
    assert extras["tensorrt"] == {"tensorrt", "cuda-bindings"}
    assert extras["pycuda"] == {"pycuda"}
    assert PROJECT["optional-dependencies"]["gpu"] == ["nastool[tensorrt,pycuda]"]


def test_every_import_is_a_dependency() -> None:
    """A package that is only a dependency of another package may disappear with its next version."""
    declared = {name_of(dependency).replace("_", "-") for dependency in PROJECT["dependencies"]}
    providers = metadata.packages_distributions()
    missing = {
        f"{module} (in {path.relative_to(ROOT)})"
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        for module in imported(path)
        if not {name.lower().replace("_", "-") for name in providers.get(module, [module])} & declared
    }
    assert missing == set()


def test_every_dependency_is_imported() -> None:
    modules = {m for package in PACKAGES for path in (ROOT / package).rglob("*.py") for m in imported(path)}
    providers = metadata.packages_distributions()
    used = {name.lower().replace("_", "-") for module in modules for name in providers.get(module, [module])}
    unused = {name_of(dependency) for dependency in PROJECT["dependencies"]} - used
    # torch imports onnxscript; only one of the ONNX Runtime wheels is installed; the backend imports TensorRT-RTX by
    # name
    assert unused <= {"onnxscript", "onnxruntime", "onnxruntime-gpu", "tensorrt-rtx-cu13"}


def test_entry_point_is_the_command_line() -> None:
    (entry_point,) = metadata.entry_points(group="console_scripts", name="nastool")
    assert entry_point.load() is app


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_is_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").exists()


def name_of(dependency: str) -> str:
    match = re.match(r"[A-Za-z0-9_-]+", dependency)
    assert match is not None
    return match[0].lower()


def imported(path: Path) -> set[str]:
    """The third-party top-level packages that a file imports."""
    packages: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            packages |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            packages.add(node.module.split(".")[0])
    return packages - set(sys.stdlib_module_names) - set(PACKAGES) - OPTIONAL
