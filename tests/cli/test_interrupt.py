"""Ctrl-C ends a command with a word and no traceback."""

import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

PATIENCE_S = 600
PRESSED_EVERY_S = 15  # Python takes seconds to end with torch loaded, and an interrupt then kills it without a word


@pytest.mark.long
def test_ctrl_c_says_that_nothing_is_lost(tmp_path: Path) -> None:
    settings = (
        'data = "digits"\nthreads = 1\nholdout_per_class = 20\nspace = "shufflenet_v2_quick:size_px=16"\n'
        '[train]\nrecipe = "quick"\ncheckpoint_every_s = 0.0\nchanges = { epochs = 1000 }\n'
    )
    (tmp_path / "nastool.toml").write_text(settings)
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "train"], cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    deadline = time.monotonic() + PATIENCE_S
    while not (tmp_path / "runs/main/supernet/checkpoint.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    while process.poll() is None and time.monotonic() < deadline + PATIENCE_S:
        process.send_signal(signal.SIGINT)  # Python drops an interrupt that meets a finaliser; a person presses again
        with suppress(subprocess.TimeoutExpired):
            process.wait(PRESSED_EVERY_S)
    process.kill()
    _, stderr = process.communicate()
    assert process.returncode == 130
    assert "Nothing is lost: run the same command again to continue" in stderr.decode()
    assert "Traceback" not in stderr.decode()


TWO_INTERRUPTS = """
import os, signal, time
from contextlib import suppress
from cli.interrupts import handled

with handled(lambda: print("stopped", flush=True)):
    with suppress(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)
"""


def test_second_ctrl_c_ends_the_command_at_once() -> None:
    done = subprocess.run([sys.executable, "-c", TWO_INTERRUPTS], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "stopped\n", "")


INTERRUPT_AFTER_THE_MESSAGE = """
import os, signal
from contextlib import suppress
from cli.interrupts import end_silently, handled

with handled(lambda: print("stopped")):
    with suppress(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
    end_silently()
os.kill(os.getpid(), signal.SIGINT)
"""


def test_ctrl_c_after_the_message_prints_nothing_more() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPT_AFTER_THE_MESSAGE], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
