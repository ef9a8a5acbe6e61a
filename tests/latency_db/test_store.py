"""Runs go in and tables come out: nothing is overwritten, nothing half done is read."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from latency_db.context import Context
from latency_db.errors import MissingLatency
from latency_db.store import Store, open_store
from latency_db.table import Sample

PARTS = {"stem": "hash-s", "head": "hash-h"}


def sample(ms: float) -> Sample:
    """CPU time `ms`, and clock time twice that: the two can be told apart."""
    return Sample(calls=5, wall_ms_min=2 * ms, wall_ms_median=2.2 * ms, busy_ms_min=ms, busy_ms_median=1.1 * ms)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "latency.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with open_store(path) as opened:
        yield opened


def begin(store: Store, context: Context, parts: dict[str, str] = PARTS, rounds: int = 2) -> int:
    return store.begin_run(context, "space", "digest", parts, rounds, "1.2.3")


def whole_run(store: Store, context: Context, figures: dict[str, float]) -> int:
    run = begin(store, context, {key: f"hash of {key}" for key in figures}, rounds=1)
    store.add_round(run, 0, {key: sample(ms) for key, ms in figures.items()})
    store.finish_run(run)
    return run


def test_what_was_stored_is_read_back_by_another_process(path: Path, context: Context) -> None:
    with open_store(path) as store:
        run = begin(store, context)
        store.add_round(run, 0, {"stem": sample(3.0), "head": sample(5.0)})
        store.add_round(run, 1, {"stem": sample(2.0), "head": sample(7.0)})
        store.finish_run(run)
    with open_store(path) as store:
        table = store.table(context, PARTS)
        assert store.contexts() == [(context, 2)]
    assert table.context == context
    assert {key: table.latency_ms(key) for key in table.rows} == {"stem": 2.0, "head": 5.0}
    stem = table.rows["stem"]
    assert (stem.key, stem.graph_hash, stem.run_id) == ("stem", "hash-s", run)
    assert stem.summary.n == 2
    assert stem.summary.median_ms == pytest.approx(1.1 * 2.5)


def test_more_threads_read_the_clock(store: Store, context: Context) -> None:
    two = replace(context, threads=2)
    whole_run(store, two, {"stem": 3.0})
    assert store.table(two, ["stem"]).latency_ms("stem") == 6.0


def test_a_newer_run_hides_an_older_one_part_by_part(store: Store, context: Context) -> None:
    first = whole_run(store, context, {"stem": 3.0, "head": 5.0})
    second = whole_run(store, context, {"stem": 4.0, "extra": 1.0})  # slower: the newest counts, not the least
    rows = store.table(context, ["stem", "head", "extra"]).rows
    assert {key: (row.summary.latency_ms, row.run_id) for key, row in rows.items()} == {
        "stem": (4.0, second),
        "head": (5.0, first),
        "extra": (1.0, second),
    }


def test_a_run_is_read_once_it_is_finished(store: Store, context: Context) -> None:
    whole_run(store, context, {"stem": 3.0})
    run = begin(store, context)
    store.add_round(run, 0, {"stem": sample(1.0), "head": sample(1.0)})
    table = store.table(context, PARTS)
    assert table.latency_ms("stem") == 3.0
    with pytest.raises(MissingLatency, match="head was not measured"):
        table.latency_ms("head")
    assert store.contexts() == [(context, 1)]


def test_stacks_never_mix(store: Store, context: Context) -> None:
    other = replace(context, batch=16)
    whole_run(store, context, {"stem": 3.0})
    whole_run(store, other, {"stem": 9.0, "head": 9.0})
    assert store.table(context, PARTS).latency_ms("stem") == 3.0
    assert "head" not in store.table(context, PARTS).rows
    assert sorted(rows for _, rows in store.contexts()) == [1, 2]


def test_only_what_was_asked_for_is_read(store: Store, context: Context) -> None:
    whole_run(store, context, {"stem": 3.0, "head": 5.0})
    assert set(store.table(context, ["head", "never"]).rows) == {"head"}


def test_an_unfinished_run_is_found_again(path: Path, context: Context) -> None:
    with open_store(path) as store:
        run = begin(store, context)
        assert store.rounds_done(run) == 0
        store.add_round(run, 0, {key: sample(1.0) for key in PARTS})
    with open_store(path) as store:
        assert store.unfinished_run(context, PARTS, 2) == run
        assert store.rounds_done(run) == 1
        store.finish_run(run)
        assert store.unfinished_run(context, PARTS, 2) is None


def test_an_unfinished_run_for_other_work_is_left_alone(store: Store, context: Context) -> None:
    begin(store, context)
    assert store.unfinished_run(replace(context, batch=16), PARTS, 2) is None
    assert store.unfinished_run(context, PARTS, 3) is None
    assert store.unfinished_run(context, {**PARTS, "stem": "another graph"}, 2) is None
    assert store.unfinished_run(context, {"stem": "hash-s"}, 2) is None


def test_a_round_is_stored_as_a_whole_or_not_at_all(store: Store, context: Context) -> None:
    run = begin(store, context)
    with pytest.raises(Exception, match="FOREIGN KEY"):  # the last of the round's parts is none of the run's
        store.add_round(run, 0, {"stem": sample(1.0), "head": sample(1.0), "stranger": sample(1.0)})
    assert store.rounds_done(run) == 0
    store.add_round(run, 0, {"stem": sample(2.0), "head": sample(2.0)})
    store.finish_run(run)
    assert store.table(context, PARTS).rows["stem"].summary.n == 1


def test_two_commands_may_go_on_with_the_same_run(path: Path, context: Context) -> None:
    with open_store(path) as one, open_store(path) as other:
        run = begin(one, context)
        assert other.unfinished_run(context, PARTS, 2) == run
        one.add_round(run, 0, {key: sample(1.0) for key in PARTS})
        other.add_round(run, 0, {key: sample(9.0) for key in PARTS})  # was there first: stays
        other.add_round(run, 1, {key: sample(2.0) for key in PARTS})
        one.add_round(run, 1, {key: sample(9.0) for key in PARTS})
        one.finish_run(run)
        other.finish_run(run)
        assert one.table(context, PARTS).rows["stem"].summary.n == 2
        assert one.table(context, PARTS).rows["stem"].summary.median_ms == pytest.approx(1.1 * 1.5)
