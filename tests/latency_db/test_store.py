"""Runs go in and tables come out: nothing is overwritten, nothing half done is read. On both databases."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from platform import node

import pytest
from sqlalchemy import event

from latency_db.errors import MissingLatency, UnknownTarget
from latency_db.records import Part, Taken
from latency_db.store import Store, open_store
from latency_db.table import Sample
from latency_db.target import Target

PARTS = {"stem": "hash-s", "head": "hash-h"}


def sample(ms: float) -> Sample:
    """CPU time `ms`, and clock time twice that: the two can be told apart."""
    return Sample(calls=5, wall_ms_min=2 * ms, wall_ms_median=2.2 * ms, busy_ms_min=ms, busy_ms_median=1.1 * ms)


@pytest.fixture
def store(where: str) -> Iterator[Store]:
    with open_store(where) as opened:
        yield opened


def begin(store: Store, target: Target, parts: dict[str, str] = PARTS, rounds: int = 2) -> int:
    return store.begin_run(target, "space", "digest", parts, rounds, "1.2.3")


def whole_run(store: Store, target: Target, figures: dict[str, float]) -> int:
    run = begin(store, target, {key: f"hash of {key}" for key in figures}, rounds=1)
    store.add_round(run, 0, {key: sample(ms) for key, ms in figures.items()})
    store.finish_run(run)
    return run


def test_what_was_stored_is_read_back_by_another_process(where: str, target: Target) -> None:
    with open_store(where) as store:
        run = begin(store, target)
        store.add_round(run, 0, {"stem": sample(3.0), "head": sample(5.0)})
        store.add_round(run, 1, {"stem": sample(2.0), "head": sample(7.0)})
        store.finish_run(run)
    with open_store(where) as store:
        table = store.table(target, PARTS)
        assert store.targets() == [(target, 2)]
    assert table.target == target
    assert {key: table.latency_ms(key) for key in table.rows} == {"stem": 2.0, "head": 5.0}
    stem = table.rows["stem"]
    assert (stem.key, stem.graph_hash, stem.run_id) == ("stem", "hash-s", run)
    assert stem.summary.n == 2
    assert stem.summary.median_ms == pytest.approx(1.1 * 2.5)


def test_the_nearest_stack_that_has_a_part_is_found(store: Store, target: Target) -> None:
    far = replace(target, batch=64, backend="other", backend_version="2")
    elsewhere = replace(target, device_model="Another CPU")  # one field, but the one that counts
    for other, parts in ((far, {"stem": 1.0, "head": 1.0}), (elsewhere, {"stem": 1.0, "tail": 1.0})):
        whole_run(store, other, parts)
    near = replace(target, batch=32)
    whole_run(store, near, {"stem": 1.0})
    begin(store, replace(target, threads=4))  # never finished
    whole_run(store, target, {"here": 1.0})
    found = store.table(target, ["stem", "head", "tail", "here", "nowhere"])
    assert found.elsewhere == {"stem": near, "head": far, "tail": elsewhere}
    with pytest.raises(MissingLatency, match="batch: 8 here, 32 there"):
        found.latency_ms("stem")


def test_more_threads_read_the_clock(store: Store, target: Target) -> None:
    two = replace(target, threads=2)
    whole_run(store, two, {"stem": 3.0})
    assert store.table(two, ["stem"]).latency_ms("stem") == 6.0


def test_a_newer_run_hides_an_older_one_part_by_part(store: Store, target: Target) -> None:
    first = whole_run(store, target, {"stem": 3.0, "head": 5.0})
    second = whole_run(store, target, {"stem": 4.0, "extra": 1.0})  # slower: the newest counts, not the least
    rows = store.table(target, ["stem", "head", "extra"]).rows
    assert {key: (row.summary.latency_ms, row.run_id) for key, row in rows.items()} == {
        "stem": (4.0, second),
        "head": (5.0, first),
        "extra": (1.0, second),
    }


def test_a_run_is_read_once_it_is_finished(store: Store, target: Target) -> None:
    whole_run(store, target, {"stem": 3.0})
    run = begin(store, target)
    store.add_round(run, 0, {"stem": sample(1.0), "head": sample(1.0)})
    table = store.table(target, PARTS)
    assert table.latency_ms("stem") == 3.0
    with pytest.raises(MissingLatency, match="head was not measured"):
        table.latency_ms("head")
    assert store.targets() == [(target, 1)]


def test_stacks_never_mix(store: Store, target: Target) -> None:
    other = replace(target, batch=16)
    whole_run(store, target, {"stem": 3.0})
    whole_run(store, other, {"stem": 9.0, "head": 9.0})
    assert store.table(target, PARTS).latency_ms("stem") == 3.0
    assert "head" not in store.table(target, PARTS).rows
    assert sorted(rows for _, rows in store.targets()) == [1, 2]


def test_only_what_was_asked_for_is_read(store: Store, target: Target) -> None:
    whole_run(store, target, {"stem": 3.0, "head": 5.0})
    assert set(store.table(target, ["head", "never"]).rows) == {"head"}


def test_an_unfinished_run_is_found_again(where: str, target: Target) -> None:
    with open_store(where) as store:
        run = begin(store, target)
        assert store.rounds_done(run) == 0
        store.add_round(run, 0, {key: sample(1.0) for key in PARTS})
    with open_store(where) as store:
        assert store.unfinished_run(target, PARTS, 2) == run
        assert store.rounds_done(run) == 1
        store.finish_run(run)
        assert store.unfinished_run(target, PARTS, 2) is None


def test_an_unfinished_run_for_other_work_is_left_alone(store: Store, target: Target) -> None:
    begin(store, target)
    assert store.unfinished_run(replace(target, batch=16), PARTS, 2) is None
    assert store.unfinished_run(target, PARTS, 3) is None
    assert store.unfinished_run(target, {**PARTS, "stem": "another graph"}, 2) is None
    assert store.unfinished_run(target, {"stem": "hash-s"}, 2) is None


def test_a_round_is_stored_as_a_whole_or_not_at_all(store: Store, target: Target) -> None:
    run = begin(store, target)
    with pytest.raises(Exception, match=r"(?i)foreign key"):  # the last of the round's parts is none of the run's
        store.add_round(run, 0, {"stem": sample(1.0), "head": sample(1.0), "stranger": sample(1.0)})
    assert store.rounds_done(run) == 0
    store.add_round(run, 0, {"stem": sample(2.0), "head": sample(2.0)})
    store.finish_run(run)
    assert store.table(target, PARTS).rows["stem"].summary.n == 1


def test_two_commands_may_go_on_with_the_same_run(where: str, target: Target) -> None:
    with open_store(where) as one, open_store(where) as other:
        run = begin(one, target)
        assert other.unfinished_run(target, PARTS, 2) == run
        one.add_round(run, 0, {key: sample(1.0) for key in PARTS})
        other.add_round(run, 0, {key: sample(9.0) for key in PARTS})  # was there first: stays
        other.add_round(run, 1, {key: sample(2.0) for key in PARTS})
        one.add_round(run, 1, {key: sample(9.0) for key in PARTS})
        one.finish_run(run)
        other.finish_run(run)
        assert one.table(target, PARTS).rows["stem"].summary.n == 2
        assert one.table(target, PARTS).rows["stem"].summary.median_ms == pytest.approx(1.1 * 1.5)


def test_raw_samples_and_their_trouble_are_kept(store: Store, target: Target) -> None:
    run = begin(store, target, {"stem": "hash-s"}, rounds=1)
    kept = replace(sample(3.0), raw_ms=(3.0, 3.25), noise_reason="throttled: 1404 -> 1100 MHz")
    store.add_round(run, 0, {"stem": kept})
    (part,) = store.parts(run)
    assert (part.key, part.graph_hash) == ("stem", "hash-s")
    assert [(taken.round, taken.sample) for taken in part.taken] == [(0, kept)]


def test_a_run_says_where_it_comes_from(store: Store, target: Target) -> None:
    first = begin(store, target)
    parts = {"net": "hash-n"}
    second = store.begin_run(
        target, "fbnet", "d", parts, 1, "1", kind="fit", origin="nets.csv", state={"load_1min": 0.5}
    )
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


def test_networks_are_found_by_how_their_keys_begin(store: Store, target: Target) -> None:
    nets = {"a/network:1:x y": 3.0, "a/network:1:x z": 4.0, "a/network:2:x y": 5.0, "A/network:1:x y": 6.0}
    whole_run(store, target, nets | {"a/stem": 1.0, "a%network:1:": 9.0})
    newer = whole_run(store, target, {"a/network:1:x z": 4.5})
    found = store.networks(target, "a/network:1:")
    assert [(row.key, row.summary.latency_ms) for row in found] == [("a/network:1:x y", 3.0), ("a/network:1:x z", 4.5)]
    assert found[1].run_id == newer
    assert store.networks(replace(target, batch=9), "a/network:1:") == ()


def test_thousands_of_keys_are_read(store: Store, target: Target) -> None:
    figures = {f"part {n:04}": 1.0 + n for n in range(1200)}
    whole_run(store, target, figures)
    table = store.table(target, figures)
    assert {key: row.summary.latency_ms for key, row in table.rows.items()} == figures


def test_reading_looks_only_at_what_was_asked_for(tmp_path: Path, target: Target) -> None:
    """SQLite's plan: samples by their primary key, for speeds those of the runs, and no table from end to end."""
    path = tmp_path / "latency.sqlite"
    with open_store(path) as store:
        whole_run(store, target, {f"part {n}": 1.0 for n in range(100)})
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
        assert not [step for step in plan if step in ("SCAN samples", "SCAN parts", "SCAN profile_runs")], plan
    connection.close()


def test_a_stack_is_found_by_the_beginning_of_its_id(store: Store, target: Target) -> None:
    other = replace(target, batch=16)
    for one in (target, other):
        begin(store, one)
    assert store.target(other.id[:6]) == other
    with pytest.raises(UnknownTarget, match=r"2 targets begin with ''"):
        store.target("")
    with pytest.raises(UnknownTarget, match=r"no target begins with 'xyz' in .*nastool db list"):
        store.target("xyz")


def test_a_removed_run_uncovers_the_older_one(store: Store, target: Target) -> None:
    first = whole_run(store, target, {"stem": 3.0})
    second = whole_run(store, target, {"stem": 4.0})
    other = whole_run(store, replace(target, batch=16), {"stem": 9.0})
    store.remove_runs([second, other])
    assert store.table(target, ["stem"]).latency_ms("stem") == 3.0
    assert [run.id for run in store.runs()] == [first]
    assert store.targets() == [(target, 1)]  # a stack that is left without runs goes as well
    with pytest.raises(UnknownTarget, match="no run"):
        store.add_round(second, 1, {"stem": sample(1.0)})


def test_what_was_measured_last_counts_even_if_it_was_copied_first(store: Store, target: Target) -> None:
    """A table that was measured elsewhere long ago does not hide what was measured here since."""
    new = whole_run(store, target, {"stem": 3.0})
    run = replace(store.run(new), uid="measured elsewhere", finished_at="2020-01-01T00:00:00+00:00", kind="import")
    part = Part("stem", "hash of stem", (Taken(0, "2020-01-01T00:00:00+00:00", sample(9.0)),))
    assert store.add_copy(run, target, [part])
    assert not store.add_copy(run, target, [part])  # it is here already
    assert store.table(target, ["stem"]).latency_ms("stem") == 3.0
    assert [run.kind for run in store.runs()] == ["profile", "import"]
