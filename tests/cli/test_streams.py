"""Commands whose stdout or stderr is closed, unread or full."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from cli import console

NASTOOL = (sys.executable, "-m", "cli.main")
TINY = """
space = "shufflenet_v2_quick:size_px=16,stem_channels=8,stage_widths=16-24,stage_repeats=2-2,head_channels=32"
[profile]
backend = "fake"
batch = 8
rounds = 2
networks = 0
"""


def test_unread_pipe_on_stdout_ends_as_sigpipe_does(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        [*NASTOOL, "--help"], cwd=tmp_path, stdout=write_end, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(write_end)
    assert (done.returncode, done.stderr) == (141, "")


def test_full_device_on_stdout_is_an_error(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*NASTOOL, "--help"], cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 2
    assert done.stderr.strip() == "error: cannot write the answer to stdout: No space left on device"


def test_full_device_on_stderr_keeps_the_exit_code(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*NASTOOL, "check", "none.onnx", "--latency", "1s"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=full,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.long
def test_profile_with_a_closed_stderr_finishes(tmp_path: Path) -> None:
    """The table's file must not be opened as descriptor 2, where messages would be written into it."""
    (tmp_path / "nastool.toml").write_text(TINY)
    command = [*NASTOOL, "profile", "--json"]
    done = subprocess.run(
        ["bash", "-c", '"$@" 2>&-', "bash", *command], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "latency.sqlite").read_bytes().startswith(b"SQLite format 3\0")


def test_control_characters_and_passwords_are_not_printed() -> None:
    assert console.printable("a\x1b[31m\udcff") == "a\\x1b[31m\\udcff"
    assert console.printable("postgresql:/ann:s3cret@farm/x") == "postgresql:/ann:***@farm/x"
    network = "shufflenet_v2/network:38ff1b:choice_x@0.5 choice_3@1.5"  # a key, in which nothing is secret
    assert console.printable(network) == network
    assert console.printable("fake:noise=0.02@cpu") == "fake:noise=0.02@cpu"


def test_number_is_not_split_at_40_columns(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "_out", Console(soft_wrap=True, width=40))
    console.answer_table("t", ("architecture", "MACs", "latency"), [("choice_3 " * 9, "14,601,216", "1234.567 ms")] * 2)
    console.answer_facts("t", {"a long name of a fact": "1,099,511,627,776"})
    printed = capsys.readouterr().out
    assert printed.count("14,601,216") == printed.count("1234.567") == 2
    assert "1,099,511,627,776" in printed
