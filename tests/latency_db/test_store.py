"""Runs are written and tables are read: nothing is overwritten, and unfinished runs are not read."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from platform import node
from typing import Any

import pytest
from sqlalchemy import event

from latency_db.errors import DatabaseDamaged, LatencyDbError, MissingLatency, UnknownTarget
from latency_db.runs import NewRun, RunRecord, TimedSample
from latency_db.store import Store, open_store
from latency_db.table import Sample
from latency_db.target import Target

PARTS = {"stem": "hash-s", "head": "hash-h"}


def sample(ms: float) -> Sample:
    """CPU time `ms`, and twice that as wall time, so that the two differ."""
    return Sample(calls=5, wall_ms_min=2 * ms, wall_ms_median=2.2 * ms, busy_ms_min=ms, busy_ms_median=1.1 * ms)


@pytest.fixture
def store(where: str) -> Iterator[Store]:
    with open_store(where) as opened:
        yield opened


def begin(store: Store, target: Target, parts: dict[str, str] = PARTS, rounds: int = 2) -> int:
    return store.begin_run(target, parts, NewRun("space", "digest", "1.2.3", rounds))


def finished_run(store: Store, target: Target, latencies: dict[str, float]) -> int:
    run = begin(store, target, {key: f"hash of {key}" for key in latencies}, rounds=1)
    store.add_round(run, 0, {key: sample(ms) for key, ms in latencies.items()})
    store.finish_run(run)
    return run


def test_stored_run_is_read_after_reopening(where: str, target: Target) -> None:
    with open_store(where) as store:
        run = begin(store, target)
        store.add_round(run, 0, {"stem": sample(3.0), "head": sample(5.0)})
        store.add_round(run, 1, {"stem": sample(2.0), "head": sample(7.0)})
        store.finish_run(run)
    with open_store(where) as store:
        table = store.table(target, PARTS)
        assert store.targets() == [(target, 2)]
    assert table.target == target
    assert {key: table.latency_ms(key) for key in table.records} == {"stem": 2.0, "head": 5.0}
    stem = table.records["stem"]
    assert (stem.key, stem.graph_hash, stem.run_id) == ("stem", "hash-s", run)
    assert stem.summary.n == 2
    assert stem.summary.median_ms == pytest.approx(1.1 * 2.5)


def test_error_names_the_nearest_target_with_a_record(store: Store, target: Target) -> None:
    far = replace(target, batch=64, backend="other", backend_version="2")
    elsewhere = replace(target, device_model="Another CPU")  # one field, but the most important one
    for other, parts in ((far, {"stem": 1.0, "head": 1.0}), (elsewhere, {"stem": 1.0, "tail": 1.0})):
        finished_run(store, other, parts)
    near = replace(target, batch=32)
    finished_run(store, near, {"stem": 1.0})
    begin(store, replace(target, threads=4))  # never finished
    finished_run(store, target, {"here": 1.0})
    result = store.table(target, ["stem", "head", "tail", "here", "nowhere"])
    assert result.elsewhere == {"stem": near, "head": far, "tail": elsewhere}
    with pytest.raises(MissingLatency, match="batch: 8 here, 32 there"):
        result.latency_ms("stem")


def test_several_threads_use_wall_time(store: Store, target: Target) -> None:
    two = replace(target, threads=2)
    finished_run(store, two, {"stem": 3.0})
    assert store.table(two, ["stem"]).latency_ms("stem") == 6.0


def test_each_record_comes_from_its_newest_run(store: Store, target: Target) -> None:
    first = finished_run(store, target, {"stem": 3.0, "head": 5.0})
    second = finished_run(store, target, {"stem": 4.0, "extra": 1.0})  # slower: the newest counts, not the minimum
    rows = store.table(target, ["stem", "head", "extra"]).records
    assert {key: (row.summary.latency_ms, row.run_id) for key, row in rows.items()} == {
        "stem": (4.0, second),
        "head": (5.0, first),
        "extra": (1.0, second),
    }


def test_unfinished_run_is_not_read(store: Store, target: Target) -> None:
    finished_run(store, target, {"stem": 3.0})
    run = begin(store, target)
    store.add_round(run, 0, {"stem": sample(1.0), "head": sample(1.0)})
    table = store.table(target, PARTS)
    assert table.latency_ms("stem") == 3.0
    with pytest.raises(MissingLatency, match="head was not measured"):
        table.latency_ms("head")
    assert store.targets() == [(target, 1)]


def test_targets_never_mix(store: Store, target: Target) -> None:
    other = replace(target, batch=16)
    finished_run(store, target, {"stem": 3.0})
    finished_run(store, other, {"stem": 9.0, "head": 9.0})
    assert store.table(target, PARTS).latency_ms("stem") == 3.0
    assert "head" not in store.table(target, PARTS).records
    assert sorted(rows for _, rows in store.targets()) == [1, 2]


def test_table_has_the_requested_records_only(store: Store, target: Target) -> None:
    finished_run(store, target, {"stem": 3.0, "head": 5.0})
    assert set(store.table(target, ["head", "never"]).records) == {"head"}


def test_unfinished_run_is_resumed_after_reopening(where: str, target: Target) -> None:
    with open_store(where) as store:
        run = begin(store, target)
        assert len(store.samples(run)) == 0
        store.add_round(run, 0, {key: sample(1.0) for key in PARTS})
    with open_store(where) as store:
        assert store.unfinished_run(target, PARTS, 2) == run
        assert len(store.samples(run)) == 1
        store.finish_run(run)
        assert store.unfinished_run(target, PARTS, 2) is None


def test_unfinished_run_of_other_work_is_ignored(store: Store, target: Target) -> None:
    begin(store, target)
    assert store.unfinished_run(replace(target, batch=16), PARTS, 2) is None
    assert store.unfinished_run(target, PARTS, 3) is None
    assert store.unfinished_run(target, {**PARTS, "stem": "another graph"}, 2) is None
    assert store.unfinished_run(target, {"stem": "hash-s"}, 2) is None


def test_round_is_stored_completely_or_not_at_all(store: Store, target: Target) -> None:
    run = begin(store, target)
    with pytest.raises(LatencyDbError, match=r"(?i)foreign key"):  # the last record does not belong to the run
        store.add_round(run, 0, {"stem": sample(1.0), "head": sample(1.0), "stranger": sample(1.0)})
    assert len(store.samples(run)) == 0
    store.add_round(run, 0, {"stem": sample(2.0), "head": sample(2.0)})
    store.finish_run(run)
    assert store.table(target, PARTS).records["stem"].summary.n == 1


def test_two_commands_may_resume_the_same_run(where: str, target: Target) -> None:
    with open_store(where) as one, open_store(where) as other:
        run = begin(one, target)
        assert other.unfinished_run(target, PARTS, 2) == run
        one.add_round(run, 0, {key: sample(1.0) for key in PARTS})
        other.add_round(run, 0, {key: sample(9.0) for key in PARTS})  # the first one stays
        other.add_round(run, 1, {key: sample(2.0) for key in PARTS})
        one.add_round(run, 1, {key: sample(9.0) for key in PARTS})
        one.finish_run(run)
        other.finish_run(run)
        assert one.table(target, PARTS).records["stem"].summary.n == 2
        assert one.table(target, PARTS).records["stem"].summary.median_ms == pytest.approx(1.1 * 1.5)


def test_raw_samples_and_noise_reason_are_stored(store: Store, target: Target) -> None:
    run = begin(store, target, {"stem": "hash-s"}, rounds=1)
    kept = replace(sample(3.0), raw_ms=(3.0, 3.25), noise_reason="throttled: 1404 -> 1100 MHz")
    store.add_round(run, 0, {"stem": kept})
    (part,) = store.records(run)
    assert (part.key, part.graph_hash) == ("stem", "hash-s")
    assert [(taken.round, taken.sample) for taken in part.samples] == [(0, kept)]


def test_run_has_kind_origin_and_conditions(store: Store, target: Target) -> None:
    first = begin(store, target)
    new = NewRun("fbnet", "d", "1", 1, kind="fit", origin="nets.csv", conditions={"load_1min": 0.5})
    second = store.begin_run(target, {"net": "hash-n"}, new)
    store.finish_run(second)
    assert [run.id for run in store.runs()] == [first, second]
    fitted = store.run(second)
    assert (fitted.kind, fitted.origin, fitted.conditions) == ("fit", "nets.csv", {"load_1min": 0.5})
    assert fitted.finished_at is not None
    begun = store.run(first)
    assert (begun.kind, begun.host, begun.finished_at) == ("profile", node(), None)
    assert begun.conditions == {}
    assert begun.uid != fitted.uid
    with pytest.raises(UnknownTarget, match=r"no run 99 in .*nastool db list"):
        store.run(99)


def test_networks_are_selected_by_the_prefix_of_their_keys(store: Store, target: Target) -> None:
    nets = {"a/network:1:x y": 3.0, "a/network:1:x z": 4.0, "a/network:2:x y": 5.0, "A/network:1:x y": 6.0}
    finished_run(store, target, nets | {"a/stem": 1.0, "a%network:1:": 9.0})
    newer = finished_run(store, target, {"a/network:1:x z": 4.5})
    result = store.networks(target, "a/network:1:")
    assert [(row.key, row.summary.latency_ms) for row in result] == [("a/network:1:x y", 3.0), ("a/network:1:x z", 4.5)]
    assert result[1].run_id == newer
    assert store.networks(replace(target, batch=9), "a/network:1:") == ()


def test_thousands_of_keys_are_read(store: Store, target: Target) -> None:
    figures = {f"part {n:04}": 1.0 + n for n in range(1200)}
    finished_run(store, target, figures)
    table = store.table(target, figures)
    assert {key: row.summary.latency_ms for key, row in table.records.items()} == figures


def test_reads_use_indexes(tmp_path: Path, target: Target) -> None:
    """SQLite's plan: samples by primary key, for drift correction by run, and no full scan of a table."""
    path = tmp_path / "latency.sqlite"
    with open_store(path) as store:
        finished_run(store, target, {f"part {n}": 1.0 for n in range(100)})
        asked: list[str] = []
        event.listen(
            store._engine, "before_cursor_execute", lambda _c, _u, sql, values, *_: asked.append((sql, values))
        )
        store.table(target, ["part 7"])
        store.networks(target, "part 7")
    connection = sqlite3.connect(path)
    questions = [(sql, values) for sql, values in asked if sql.startswith("SELECT")]
    assert len(questions) == 4
    for (sql, values), by in zip(questions, ("run_id=? AND key=?", "run_id=?") * 2, strict=True):
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
        assert any(f"SEARCH samples USING INDEX sqlite_autoindex_samples_1 ({by})" in step for step in plan), plan
        assert not [step for step in plan if step in ("SCAN samples", "SCAN records", "SCAN profile_runs")], plan
    connection.close()


def test_target_is_selected_by_the_beginning_of_its_id(store: Store, target: Target) -> None:
    other = replace(target, batch=16)
    for one in (target, other):
        begin(store, one)
    assert store.target(other.id[:6]) == other
    with pytest.raises(UnknownTarget, match=r"2 targets begin with ''"):
        store.target("")
    with pytest.raises(UnknownTarget, match=r"no target begins with 'xyz' in .*nastool db list"):
        store.target("xyz")


def test_older_run_counts_again_once_the_newer_is_removed(store: Store, target: Target) -> None:
    first = finished_run(store, target, {"stem": 3.0})
    second = finished_run(store, target, {"stem": 4.0})
    other = finished_run(store, replace(target, batch=16), {"stem": 9.0})
    store.remove_runs([second, other])
    assert store.table(target, ["stem"]).latency_ms("stem") == 3.0
    assert [run.id for run in store.runs()] == [first]
    assert store.targets() == [(target, 1)]  # a target without runs is removed as well
    with pytest.raises(UnknownTarget, match="no run"):
        store.add_round(second, 1, {"stem": sample(1.0)})


def test_imported_run_does_not_replace_one_that_was_measured_here(store: Store, target: Target) -> None:
    run_id = finished_run(store, target, {"stem": 3.0})
    run = replace(store.run(run_id), uid="measured elsewhere", kind="import")
    record = RunRecord("stem", "hash of stem", (TimedSample(0, "2020-01-01T00:00:00+00:00", sample(9.0)),))
    assert store.add_copy(run, target, [record])
    assert not store.add_copy(run, target, [record])  # it is stored already
    assert store.table(target, ["stem"]).latency_ms("stem") == 3.0
    assert [run.kind for run in store.runs()] == ["profile", "import"]


@pytest.mark.parametrize("clock", ["1970-01-01T00:00:00+00:00", "2999-01-01T00:00:00+00:00"])
def test_newest_run_is_the_one_that_was_stored_last(store: Store, target: Target, clock: str) -> None:
    """The clock of a machine can be wrong by decades, into the past or the future."""
    first = finished_run(store, target, {"stem": 3.0})
    wrong = replace(store.run(first), uid="wrong clock", started_at=clock, finished_at=clock)
    record = RunRecord("stem", "hash of stem", (TimedSample(0, clock, sample(9.0)),))
    assert store.add_copy(wrong, target, [record])
    assert store.table(target, ["stem"]).latency_ms("stem") == 9.0
    finished_run(store, target, {"stem": 4.0})
    assert store.table(target, ["stem"]).latency_ms("stem") == 4.0
    assert [run.starts_after(datetime.now(UTC)) for run in store.runs()] == [False, clock > "2998", False]


def test_history_has_all_finished_records_with_runs_and_anchors(store: Store, target: Target) -> None:
    first = finished_run(store, target, {"stem": 3.0, "head": 5.0})
    second = begin(store, target, {"stem": "hash-s"}, rounds=1)
    store.add_round(second, 0, {"stem": replace(sample(4.0), anchor_ms=0.5)})
    store.finish_run(second)
    begin(store, target)  # never finished
    history = store.history(target, ["stem", "head", "never"])
    assert {
        key: [(r.summary.latency_ms, r.run_id, r.summary.anchor_ms) for r in of_key] for key, of_key in history.items()
    } == {
        "stem": [(3.0, first, None), (4.0, second, 0.5)],
        "head": [(5.0, first, None)],
    }


INVALID = {
    "negative": {"wall_ms_min": -1.0},
    "NaN": {"busy_ms_min": float("nan")},
    "infinite": {"busy_ms_median": float("inf")},
    "no calls": {"calls": 0},
    "no anchor time": {"anchor_ms": 0.0},
    "unknown place": {"place": -2},
}


@pytest.mark.parametrize("values", INVALID.values(), ids=INVALID)
def test_impossible_sample_is_not_stored(store: Store, target: Target, values: dict[str, Any]) -> None:
    run = begin(store, target)
    with pytest.raises(LatencyDbError):
        store.add_round(run, 0, {"stem": replace(sample(1.0), **values)})
    assert len(store.samples(run)) == 0


def test_impossible_run_or_target_is_not_stored(store: Store, target: Target) -> None:
    for impossible, rounds, kind in (
        (target, -1, "profile"),
        (target, 1, "guess"),
        (replace(target, batch=0), 1, "fit"),
    ):
        with pytest.raises(LatencyDbError):
            store.begin_run(impossible, PARTS, NewRun("space", "digest", "1", rounds, kind))
    assert store.runs() == ()


def test_run_with_a_missing_round_is_damaged(store: Store, target: Target) -> None:
    run = begin(store, target)
    store.add_round(run, 1, {key: sample(1.0) for key in PARTS})
    with pytest.raises(DatabaseDamaged, match=rf"rounds of run {run} are missing"):
        store.samples(run)


def test_a_table_is_read_again_from_some_runs(store: Store, target: Target) -> None:
    first = finished_run(store, target, {"stem": 1.0, "head": 2.0})
    second = finished_run(store, target, {"stem": 3.0})
    uids = {run.id: run.uid for run in store.runs()}
    table = store.table(target, ["stem", "head"], [uids[first]])
    assert {key: record.run_id for key, record in table.records.items()} == {"stem": first, "head": first}
    newest = store.table(target, ["stem", "head"], list(uids.values()))
    assert {key: record.run_id for key, record in newest.records.items()} == {"stem": second, "head": first}
    assert not store.table(target, ["stem"], []).records
    assert [record.run_id for record in store.networks(target, "st", among=[uids[first]])] == [first]
    history = store.history(target, ["stem"], [uids[second]])
    assert [record.run_id for record in history["stem"]] == [second]
