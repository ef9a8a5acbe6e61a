"""A command looks up its device and resolves its target once, and parses each ONNX file at most once."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from exporters.devices import attached
from exporters.graph import model, onnx_file
from toolchain.measuring import target

Nastool = Callable[..., Any]
COMMANDS = {
    "profile": "profile",
    "search": "search --latency 100ms --macs 31k",
    "export": "export --precision int8",
    "check": "check",
    "bench": "bench run:r runs/r/export/model.onnx --rounds 8 --accuracy holdout",
}


@dataclass
class Counts:
    """Calls of the real functions during a command."""

    devices: int = 0
    targets: int = 0
    parses: Counter[Path] = field(default_factory=Counter)


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counts:
    counts = Counts()
    list_devices, make_target, read_onnx = attached.attached, target.make_target, onnx_file.read_onnx

    def counted_devices() -> Any:
        counts.devices += 1
        return list_devices()

    def counted_target(*arguments: Any) -> Any:
        counts.targets += 1
        return make_target(*arguments)

    def counted_parse(path: Path) -> Any:
        counts.parses[path] += 1
        return read_onnx(path)

    monkeypatch.setattr(attached, "attached", counted_devices)
    monkeypatch.setattr(target, "make_target", counted_target)
    monkeypatch.setattr(onnx_file, "read_onnx", counted_parse)
    monkeypatch.setattr(model, "read_onnx", counted_parse)
    return counts


LONG = ("profile", "export")


@pytest.mark.parametrize(
    "command", [pytest.param(name, marks=pytest.mark.long) if name in LONG else name for name in COMMANDS]
)
def test_device_target_and_files_are_looked_up_once(command: str, job: Any, nastool: Nastool, counts: Counts) -> None:
    answer = nastool(*COMMANDS[command].split(), cwd=job.folder)
    assert answer.code == 0, answer.stderr
    assert counts.devices <= 2
    assert counts.targets == 1
    assert {path.name: number for path, number in counts.parses.items() if number > 1} == {}
