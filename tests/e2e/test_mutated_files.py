"""Damaged files are refused by every command that reads them: exit code 2, no traceback, and no file is changed.

To add a file, add a `Reader` with the command that reads it and the fields that it cannot do without.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

Nastool = Callable[..., Any]
Mutation = Callable[[Any], Any]


@dataclass(frozen=True)
class Reader:
    """A file of a finished job, and the command that reads it.

    Args:
        fields: required fields, as `parity.images`, each with values that must be refused besides `WRONG`.
        line: which line is mutated of a journal; None for a file that is one document.
    """

    file: str
    command: str
    fields: Mapping[str, tuple[Any, ...]]
    line: int | None = None


WRONG: tuple[Any, ...] = (None, True, [], {}, [[1]], {"a": 1})  # of another type than any field below
SHARE = (float("nan"), float("inf"), -0.1, 1e9, "0.5")
READERS = {
    "winner": Reader(
        "runs/r/search/best.json",
        "retrain",
        {
            "architecture": ("choice_3", ["choice_9"] * 4, ["\x1b[31mred"] * 4, [1, 2, 3, 4]),
            "space": (3,),
            "space_digest": (0.5,),
            "holdout_accuracy": SHARE,
            "limits": ({"macs": "1M"}, {"macs": float("nan")}, {"macs": -1}, 3),
        },
    ),
    "retrained": Reader(
        "runs/r/retrain/*/result.json",
        "retrain",
        {"test_accuracy": SHARE, "holdout_accuracy": SHARE, "steps": (-1, 0.5, "1"), "fingerprint": ("x", 3)},
    ),
    "manifest": Reader(
        "runs/r/export/manifest.json",
        "check",
        {
            "limits": ({"latency_ms": "1ms"}, 3),
            "target": ("cpu", {"batch": "8"}),
            "target.batch": ("8", 8.0),
            "estimate": ("no", 0),
            "files": (
                "model.onnx",
                {"model.onnx": {"sha256": 3, "bytes": 1}},
                {"other.onnx": {"sha256": "0", "bytes": 1}},
            ),
            "test_accuracy": SHARE,
            "measured_latency_ms": (-1.0, 0, "1ms", float("inf")),
        },
    ),
    "baseline": Reader(
        "baseline.json",
        "check --baseline baseline.json",
        {
            "rounds_ms": ([], [[0, 1]], [["1", 1]], [[float("nan"), 1]], 3),
            "target": ("cpu",),
            "schema_version": (0, 99),
        },
    ),
    "candidates": Reader(
        "runs/r/search/candidates.jsonl",
        "search --latency 100ms --macs 31k",
        {"accuracy": SHARE, "architecture": (["choice_9"] * 4,), "generation": (-1,), "strategy": (3,)},
        line=1,
    ),
    "measurements": Reader(
        "runs/r/search/measured.jsonl",
        "search --latency 100ms --macs 31k",
        {"latency_ms": (0, -1.0, float("nan"), "1"), "time": (-1,), "target": (3,)},
        line=1,
    ),
}
DAMAGE: dict[str, bytes] = {
    "empty": b"\n",
    "a list": b"[1, 2]\n",
    "not UTF-8": b"\xff\xfe{\n",
    "NUL bytes": b"\0" * 40 + b"\n",
    "nested too deep": b'{"a": ' + b"[" * 100_000 + b"\n",
    "an unfinished escape": b'{"space": "\\ud800\n',
}


def mutated(document: Any, field: str, value: Any) -> Any:
    """`document` with another value of a field, or without it if `value` is `...`."""
    changed = json.loads(json.dumps(document))
    *parents, name = field.split(".")
    place = changed
    for parent in parents:
        place = place[parent]
    if value is ...:
        del place[name]
    else:
        place[name] = value
    return changed


def mutations(reader: Reader, document: Any, seed: int) -> Iterator[bytes]:
    """For each required field a wrong value and, at random, another type or no value; then damage of the whole file."""
    rng = Random(seed)
    for field, values in reader.fields.items():
        other_types = [value for value in WRONG if type(value) is not type(document.get(field))]
        for value in (rng.choice(values), rng.choice([..., *other_types])):
            yield json.dumps(mutated(document, field, value)).encode() + b"\n"
    yield from rng.sample(list(DAMAGE.values()), 2)


@pytest.fixture(scope="module")
def folder(finished_job: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mutated") / "job"
    shutil.copytree(finished_job.folder, folder)
    (folder / "baseline.json").write_text(json.dumps(finished_job.answers["check"].json))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_refused_by_name(name: str, folder: Path, nastool: Nastool) -> None:
    reader = READERS[name]
    (path,) = folder.glob(reader.file)
    original = path.read_bytes()
    lines = original.splitlines(keepends=True)
    document = json.loads(original if reader.line is None else lines[reader.line])
    try:
        for content in mutations(reader, document, seed=0):
            if reader.line is None:
                path.write_bytes(content)
            else:
                path.write_bytes(b"".join((*lines[: reader.line], content, *lines[reader.line + 1 :])))
            before = contents(folder)
            answer = nastool(*reader.command.split(), cwd=folder)
            assert answer.code == 2, (content[:300], answer)
            text = "".join(answer.stderr.split())
            assert "error:" in text
            assert path.name in text, (content[:300], answer)
            assert "\x1b[31m" not in answer.stderr
            assert contents(folder) == before, content[:300]
    finally:
        path.write_bytes(original)
