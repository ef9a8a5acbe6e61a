"""Wrong arguments are refused before torch or a runtime is imported."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys
from cli.main import app
try:
    app()
finally:
    sys.stderr.write(str(sorted({"torch", "onnx", "onnxruntime", "scipy", "sqlalchemy"} & set(sys.modules))))
"""


def typed(words: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """A command in a process of its own, which ends stderr with the heavy packages that it imported."""
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, *words.split()],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("search --latency 0.9", "latency '0.9' has no unit"),
        ("search", "a search needs a limit"),
        ("search --latency 1ms", "there is no run"),
        (
            "search --latency 1ms --data digits --space shufflenet_v2_quick",
            "the latency table latency.sqlite does not exist yet. Run nastool profile --space shufflenet_v2_quick "
            "--data digits first",
        ),
        ("train --data digits --space nothing", "unknown space 'nothing'"),
        ("rank --space shufflenet_v2:classes=x --data digits", "'x' is not a valid value for classes"),
    ],
)
def test_a_wrong_argument_is_refused_without_torch(words: str, text: str, tmp_path: Path) -> None:
    ended = typed(words, tmp_path)
    assert ended.returncode == 2
    assert text in ended.stderr
    assert ended.stderr.endswith("[]")
    assert list(tmp_path.iterdir()) == [], "a refused command writes nothing"


ZEROS = ",".join(["0"] * 20)


@pytest.mark.parametrize("words", [f"cost --space shufflenet_v2 --arch {ZEROS}", "space --space shufflenet_v2", "runs"])
def test_small_commands_need_no_torch(words: str, tmp_path: Path, nastool: Callable[..., Any]) -> None:
    first = nastool(*words.split(), cwd=tmp_path)
    ended = typed(words, tmp_path)
    assert (ended.returncode, ended.stdout) == (0, first.stdout)
    assert ended.stderr.endswith("[]")
