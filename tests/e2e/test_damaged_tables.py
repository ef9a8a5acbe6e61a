"""Randomly damaged latency tables and exports: every command ends with exit code 0 or 2, never with a traceback.

The seeds are fixed, so a failure can be repeated. `nastool` fails the test if a command raises.
"""

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from latency_db.transfer import _digest

Nastool = Callable[..., Any]
SPACE = "shufflenet_v2_quick:size_px=16,stem_channels=8,stage_widths=16,stage_repeats=1,head_channels=32"
TITAN = ("--device", "titanxp", "--estimate", "--batch", "8", "--space", SPACE)
COST = ("cost", *TITAN, "--arch", "choice_3")
VALUES: tuple[Any, ...] = (
    None,
    "",
    "text",
    "\0",
    -1,
    0,
    10**18,
    1e300,
    -0.5,
    b"\xff\xfe",
    "[[",
    "[" * 5000,
    "{}",
    True,
)
JSON_VALUES: tuple[Any, ...] = (None, "", "text", "\0", "\ud800", -1, 0, 10**30, 1e300, -0.5, [], {}, [[]], True)
COLUMNS = {
    "targets": ("id", "device_model", "batch", "threads", "device_kind", "created_at"),
    "profile_runs": ("uid", "target_id", "kind", "conditions", "planned_rounds", "started_at", "finished_at"),
    "records": ("key", "graph_hash"),
    "samples": ("key", "round", "calls", "wall_ms_min", "busy_ms_min", "busy_ms_median", "raw_ms", "noise_reason"),
    "latency_db_version": ("version_num",),
}


def seeds(count: int, quick: int) -> list[Any]:
    """The first seeds run in `make test`, all of them in `make test-long`."""
    return [seed if seed < quick else pytest.param(seed, marks=pytest.mark.long) for seed in range(count)]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, nastool: Nastool) -> Path:
    """A folder with a table (one finished run of an estimate) and its export."""
    folder = tmp_path_factory.mktemp("base")
    assert nastool("profile", *TITAN, cwd=folder).code == 0
    assert nastool("db", "export", "table.json", cwd=folder).code == 0
    return folder


@pytest.fixture
def folder(base: Path, tmp_path: Path) -> Path:
    for name in ("latency.sqlite", "table.json"):
        shutil.copy(base / name, tmp_path / name)
    return tmp_path


def run_all(nastool: Nastool, folder: Path, target: str, *more: tuple[str, ...]) -> None:
    for words in (
        ("db", "list"),
        ("db", "show", target, "--run", "1"),
        ("db", "diff", target, target),
        ("db", "export", "again.json", "--force"),
        COST,
        *more,
    ):
        answer = nastool(*words, cwd=folder)
        assert answer.code in (0, 2), (words, answer)
        assert "Traceback" not in answer.stderr


@pytest.fixture(scope="module")
def target(base: Path) -> str:
    (name,) = json.loads((base / "table.json").read_text())["targets"]
    return str(name)


@pytest.mark.parametrize("seed", seeds(6, quick=0))
def test_flipped_bytes(nastool: Nastool, folder: Path, target: str, seed: int) -> None:
    rng, path = Random(seed), folder / "latency.sqlite"
    content = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 3, 30))):
        content[rng.randrange(len(content))] = rng.randrange(256)
    path.write_bytes(content)
    run_all(nastool, folder, target, ("profile", *TITAN), ("db", "prune", "--yes"))


@pytest.mark.long
@pytest.mark.parametrize("seed", seeds(14, quick=2))
def test_changed_values(nastool: Nastool, folder: Path, target: str, seed: int) -> None:
    """Values that the CHECK constraints would refuse, as a damaged or edited file can have them."""
    rng = Random(seed)
    connection = sqlite3.connect(folder / "latency.sqlite")
    connection.execute("PRAGMA ignore_check_constraints = ON")
    for _ in range(2):
        table = rng.choice(list(COLUMNS))
        column = rng.choice(COLUMNS[table])
        try:
            connection.execute(f"UPDATE {table} SET {column} = ?", (rng.choice(VALUES),))
        except sqlite3.IntegrityError:
            continue
    connection.commit()
    connection.close()
    run_all(nastool, folder, target)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values in a JSON document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, inner in items for place in places(inner, (*path, key)))]


@pytest.mark.parametrize("seed", seeds(40, quick=8))
def test_changed_exports_with_a_valid_digest_are_refused(nastool: Nastool, folder: Path, seed: int) -> None:
    rng, path = Random(seed), folder / "table.json"
    content = json.loads(path.read_text())
    del content["sha256"]
    original = json.dumps(content)
    *outer, last = rng.choice(places(content)[1:])
    holder = content
    for key in outer:
        holder = holder[key]
    holder[last] = rng.choice(JSON_VALUES)
    path.write_text(json.dumps(content | {"sha256": _digest(content)}))
    answer = nastool("db", "import", "table.json", "--db", "new.sqlite", cwd=folder)
    assert answer.code in (0, 2), answer
    if answer.code == 2:
        assert not (folder / "new.sqlite").exists()
    elif json.dumps(content) != original:
        assert allowed(last, outer, holder[last]), (outer, last, holder[last])


def allowed(last: Any, outer: list[Any], value: Any) -> bool:
    """Free texts may be anything; the others cannot be told from what was measured."""
    texts = ("origin", "space", "space_digest", "host", "code_version", "graph_hash", "noise_reason", "uid", "key")
    if last in texts and isinstance(value, str):
        return True
    if outer[-1:] == ["conditions"] or last == "conditions":
        return True
    known = ("place", "planned_rounds", "calls", "id", "round", "anchor_ms", "raw_ms", "records", "samples", "runs")
    return last in known
