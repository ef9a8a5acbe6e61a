"""Every command that takes seconds says what it is about before it imports what takes them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "onnx", "onnxruntime", "scipy", "sklearn", "matplotlib", "plotly", "sqlalchemy")
STOPPED = 77
SCRIPT = f"""
import os, sys
from importlib.machinery import ModuleSpec

class Blocker:
    def find_spec(self, name, path=None, target=None):
        return ModuleSpec(name, self) if name in {HEAVY} else None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        os._exit({STOPPED})  # nothing that was printed later is seen

sys.meta_path.insert(0, Blocker())
from cli.main import app
app()
"""
TINY = "shufflenet_v2_quick:size_px=16"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("quickstart", "run quickstart: shufflenet_v2_quick"),
        ("shrink torchvision:resnet18 --data digits", "run shrink: digits, model:torchvision:resnet18"),
        ("run --data digits", "run main: digits, shufflenet_v2_quick"),
        ("train --data digits", "run main: digits, shufflenet_v2_quick"),
        ("search --data digits --macs 300k", "run main: digits, shufflenet_v2_quick"),
        ("retrain --data digits --arch choice_3", "run main: digits, shufflenet_v2_quick"),
        ("export --data digits", "run main: digits, shufflenet_v2_quick"),
        ("rank --data digits", "run main: digits, shufflenet_v2_quick"),
        ("paper table7", "table7 of the paper, preset quick"),
        ("profile", r"space: shufflenet_v2 \(the paper's, for ImageNet\), since nothing names one"),
        (f"draw --space {TINY}", "drawing an architecture or a space"),
        ("doctor", "looking at devices"),
        ("devices", "looking at devices"),
        ("check model.onnx --latency 1ms", "check of model.onnx"),
        ("bench model.onnx", "timing model.onnx"),
        ("bench data --data digits", "timing digits, shufflenet_v2_quick"),
        ("report", "report of main"),
        ("db fit --csv networks.csv", "fitting networks.csv"),
    ],
)
def test_the_first_line_comes_before_heavy_imports(words: str, line: str, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"?")
    (tmp_path / "runs/main").mkdir(parents=True)
    if words == "report":
        (tmp_path / "runs/main/config.toml").write_text("")
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, *words.split()],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NASTOOL_CACHE": str(tmp_path / "cache"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == STOPPED, "it imports something heavy, or this test is not about it"
    assert re.search(f"^{line}", ended.stderr, re.MULTILINE), ended.stderr
