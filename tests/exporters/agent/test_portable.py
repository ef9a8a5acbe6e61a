"""What is sent to remote devices needs Python 3.9, its standard library, numpy and onnxruntime alone.

What is sent for GPUs also imports what was sent for them, by name; bindings of NVIDIA are imported where they are used.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from exporters.remote.sources import GPU_MODULES, GPU_PACKAGES, MODULES, PACKAGES

ROOT = Path(__file__).parents[3]
SENT = ("exporters.agent.loader", *MODULES)
SENT_FOR_GPUS = (*SENT, *(module for module in GPU_MODULES if module != "pynvml"))
RUN_VERMIN = "from vermin.main import main; main()"  # which has no __main__
VERMIN = [sys.executable, "-c", RUN_VERMIN, "-t=3.9-", "--no-tips"]
THIRD_PARTY = {"numpy", "onnxruntime"}


def source_of(module: str) -> Path:
    return ROOT / f"{module.replace('.', '/')}.py"


def imports_of(tree: ast.AST) -> set[str]:
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return imported | {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


def at_once(tree: ast.Module) -> ast.Module:
    """The module without its functions, which import code for GPUs only when it was sent."""

    class WithoutFunctions(ast.NodeTransformer):
        def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
            if not any(name.startswith("exporters.cuda") for name in imports_of(node)):
                self.generic_visit(node)

    copied = WithoutFunctions().visit(tree)
    assert isinstance(copied, ast.Module)
    return copied


@pytest.mark.parametrize("module", SENT_FOR_GPUS)
def test_imports_only_what_a_device_has(module: str) -> None:
    tree = ast.parse(source_of(module).read_text(), feature_version=(3, 9))
    imported = imports_of(tree if module in SENT_FOR_GPUS[len(SENT) :] else at_once(tree))
    sent = {*SENT_FOR_GPUS, "exporters.cuda", "pynvml"} if module in SENT_FOR_GPUS[len(SENT) :] else SENT
    outside = {name for name in imported if name not in sent}
    assert {name.partition(".")[0] for name in outside} <= set(sys.stdlib_module_names) | THIRD_PARTY


def test_every_module_of_the_agent_is_sent() -> None:
    modules = {f"exporters.agent.{file.stem}" for file in (ROOT / "exporters/agent").glob("*.py")}
    assert modules - {"exporters.agent.__init__"} <= set(SENT)
    assert (PACKAGES, GPU_PACKAGES) == (("exporters", "exporters.agent"), ("exporters.cuda",))


def test_every_module_for_gpus_is_sent_but_what_a_workstation_alone_needs() -> None:
    modules = {f"exporters.cuda.{file.stem}" for file in (ROOT / "exporters/cuda").glob("*.py")}
    assert modules - set(GPU_MODULES) == {"exporters.cuda.__init__", "exporters.cuda.plans"}


def test_needs_no_later_python_than_3_9() -> None:
    files = [str(source_of(module)) for module in SENT_FOR_GPUS]
    checked = subprocess.run(
        [*VERMIN, "--violations", *files],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


def test_a_later_feature_would_be_noticed(tmp_path: Path) -> None:
    (tmp_path / "later.py").write_text("pairs = zip([1], [2], strict=True)\n")
    assert subprocess.run([*VERMIN, tmp_path / "later.py"], capture_output=True, check=False).returncode != 0
