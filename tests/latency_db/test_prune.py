"""Runs that no read uses any more are removed."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from latency_db.prune import superseded
from latency_db.runs import NewRun
from latency_db.store import Store, open_store
from latency_db.table import Sample
from latency_db.target import Target

NOW = datetime.now(UTC)


@pytest.fixture
def store(where: str) -> Iterator[Store]:
    with open_store(where) as opened:
        yield opened


def run(store: Store, target: Target, keys: str, ms: float, finish: bool = True) -> int:
    number = store.begin_run(target, dict.fromkeys(keys, "hash"), NewRun("space", "digest", "1", 1))
    store.add_round(number, 0, {key: Sample(1, ms, ms, ms, ms) for key in keys})
    if finish:
        store.finish_run(number)
    return number


def test_newest_run_of_each_record_is_kept(store: Store, target: Target) -> None:
    other = replace(target, batch=16)
    old = run(store, target, "ab", 1.0)
    half_old = run(store, target, "bc", 2.0)
    elsewhere = run(store, other, "abc", 3.0)
    newest = run(store, target, "ab", 4.0)
    assert [one.id for one in superseded(store, NOW)] == [old]
    before = store.table(target, "abc")
    store.remove_runs([old])
    assert store.table(target, "abc") == before
    assert [one.id for one in store.runs()] == [half_old, elsewhere, newest]
    assert superseded(store, NOW) == ()


def test_unfinished_run_is_kept_for_a_day(store: Store, target: Target) -> None:
    begun = run(store, target, "ab", 1.0, finish=False)
    run(store, target, "ab", 2.0)
    run(store, target, "d", 1.0, finish=False)  # its record has no newer measurement
    assert superseded(store, NOW) == ()
    assert [one.id for one in superseded(store, NOW + timedelta(days=2))] == [begun]


def test_imported_run_is_superseded_by_one_that_was_measured_here(store: Store, target: Target) -> None:
    here = run(store, target, "a", 1.0)
    copied = replace(store.run(here), uid="elsewhere", kind="import")
    assert store.add_copy(copied, target, store.records(here))
    (old,) = superseded(store, NOW)
    assert old.uid == "elsewhere"


@pytest.mark.parametrize("clock", ["1970-01-01T00:00:00+00:00", "2999-01-01T00:00:00+00:00"])
def test_run_with_a_wrong_clock_is_superseded_by_a_later_one(store: Store, target: Target, clock: str) -> None:
    first = run(store, target, "a", 1.0)
    wrong = replace(store.run(first), uid="wrong clock", started_at=clock, finished_at=clock)
    assert store.add_copy(wrong, target, store.records(first))
    assert [old.id for old in superseded(store, NOW)] == [first]
    last = run(store, target, "a", 2.0)
    assert [old.uid for old in superseded(store, NOW)][1:] == ["wrong clock"]
    assert store.table(target, "a").records["a"].run_id == last
