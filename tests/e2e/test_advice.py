"""The advice in an error message works when it is followed literally."""

import re
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.long  # whole commands, tens of seconds in all

Nastool = Callable[..., Any]
# Command line -> the part of its error message that is run instead, or that replaces the last words of the command.
ADVICE = {
    "unit of a latency": ("check --latency 100", r"as in (--latency \w+)"),
    "unit of a count": ("space --macs 30X", r"as in (--macs \w+)"),
    "sign of a percentage": ("check --max-regression 5", r"as in --max-regression (\d+%)"),
    "sign of a confidence": ("check --latency 1s --confidence 99", r"as in (\d+%)"),
    "name of a backend": ("bench run:r --rounds 9 --confidence 95% --backend @cpu", r"as (\w+), or with a device"),
    "existing settings": ("init", r"nastool (init --force)"),
    "device that is not attached": ("profile --device titanxp", r"nastool (profile --device titanxp --estimate)"),
    "estimate of an attached device": (
        "cost --arch 0,0,0,0 --device cpu --estimate",
        r"(--device cpu) without --estimate",
    ),
    "unknown target": ("db show zz", r"nastool (db list)"),
}


@pytest.mark.parametrize(("command", "advice"), ADVICE.values(), ids=ADVICE)
def test_advice_is_accepted(command: str, advice: str, job: Any, nastool: Nastool) -> None:
    words = command.split()
    refused = nastool(*words, cwd=job.folder)
    assert refused.code in (2, 5), refused
    text = " ".join(refused.stderr.split())
    match = re.search(advice, text)
    assert match is not None, text
    advised = match[1].split()
    if "nastool" in advice:  # a complete command
        words = advised
    elif advised[0].startswith("--"):
        words = [*words[: words.index(advised[0])], *advised]
    else:
        words = [*words[:-1], *advised]
    followed = nastool(*words, cwd=job.folder)
    assert followed.code == 0, followed.stderr
