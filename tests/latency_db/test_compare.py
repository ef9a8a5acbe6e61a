"""Comparison of two measurements."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from latency_db.compare import compare, measured
from latency_db.errors import UnknownTarget
from latency_db.runs import NewRun
from latency_db.store import open_store
from latency_db.table import Sample
from latency_db.target import Target
from latency_db.transfer import pack


def measure(db: Path, target: Target, latencies: dict[str, tuple[float, ...]]) -> None:
    """Store the latency of each round in ms."""
    with open_store(db) as store:
        run = store.begin_run(target, dict.fromkeys(latencies, "hash"), NewRun("space", "digest", "1", 3))
        for number in range(len(next(iter(latencies.values())))):
            store.add_round(
                run,
                number,
                {key: Sample(1, ms[number], ms[number], ms[number], ms[number]) for key, ms in latencies.items()},
            )
        store.finish_run(run)


@pytest.fixture
def db(tmp_path: Path, target: Target) -> Path:
    path = tmp_path / "latency.sqlite"
    measure(path, target, {"stem": (2.0, 2.0, 2.0), "head": (4.0, 5.0, 6.0), "old": (1.0, 1.0, 1.0)})
    measure(path, replace(target, batch=16), {"stem": (3.0, 3.0, 3.0), "head": (4.0, 5.0, 6.0), "new": (1.0, 1.0, 1.0)})
    return path


def test_ratio_and_spread_of_each_record(db: Path, target: Target) -> None:
    other = replace(target, batch=16)
    difference = compare(measured(target.id[:6], str(db)), measured(other.id, str(db)))
    assert difference.fields == ("batch: 8 here, 16 there",)
    head, stem = difference.records
    assert (stem.key, stem.before_ms, stem.after_ms, stem.ratio, stem.spread) == ("stem", 2.0, 3.0, 1.5, 0.0)
    # rounds of 4, 5 and 6 ms: their MAD is 1 of 5, on both sides: sqrt(0.2^2 + 0.2^2)
    assert (head.key, head.ratio, head.spread) == ("head", 1.0, pytest.approx(0.2 * 2**0.5))
    assert (difference.only_before, difference.only_after) == (("old",), ("new",))
    assert difference.median_ratio == 1.25


def test_databases_and_exported_files_are_compared(db: Path, target: Target, tmp_path: Path) -> None:
    alone, exported = tmp_path / "alone #1.sqlite", tmp_path / "exported.json"
    measure(alone, target, {"stem": (1.0, 1.0, 1.0)})
    with open_store(db) as store:
        exported.write_text(json.dumps(pack(store, [target]).content))
    before = exported.read_bytes()
    sides = [measured(text, "elsewhere.sqlite") for text in (str(alone), str(exported), f"{db}#{target.id[:8]}")]
    assert {one.target for one in sides} == {target}
    assert [one.records["stem"].summary.latency_ms for one in sides] == [1.0, 2.0, 2.0]
    assert compare(sides[1], sides[2]).median_ratio == 1.0
    assert exported.read_bytes() == before


def test_file_with_several_targets_needs_an_id(db: Path, target: Target) -> None:
    with pytest.raises(UnknownTarget, match=rf"has 2 measured targets \(.*{target.id}.*Choose .*#ID"):
        measured(str(db), "elsewhere.sqlite")


def test_no_common_record_has_no_ratio(db: Path, target: Target) -> None:
    one = measured(target.id, str(db))
    difference = compare(one, replace(one, records={}))
    assert (difference.records, difference.median_ratio) == ((), None)
