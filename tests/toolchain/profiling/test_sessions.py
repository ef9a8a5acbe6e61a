"""Records of several sessions: one session counts, and others are brought to its speed."""

from dataclasses import replace
from pathlib import Path

import pytest

from latency_db.table import Record, Summary
from toolchain.costs.latency import stem_key
from toolchain.measuring.plan import MeasurementPlan
from toolchain.measuring.target import ready_target
from toolchain.measuring.target_spec import TargetSpec
from toolchain.profiling.profiler import profile_space
from toolchain.profiling.sessions import one_session
from toolchain.profiling.stored_table import load_table
from toolchain.progress import Quiet
from toolchain.spaces import load_space


def record(key: str, run_id: int, ms: float, anchor_ms: float | None = 2.0, unstable: str = "") -> Record:
    return Record(key, Summary(ms, ms, ms, 0.0, 1, anchor_ms=anchor_ms, unstable=unstable), "", run_id)


def chosen(variants: list[Record], networks: list[Record]) -> dict[str, tuple[int, float]]:
    by_key: list[dict[str, list[Record]]] = [{}, {}]
    for records, given in zip(by_key, (variants, networks), strict=True):
        for entry in given:
            records.setdefault(entry.key, []).append(entry)
    return {key: (r.run_id, r.summary.latency_ms) for key, r in one_session(by_key[0], by_key[1]).items()}


def test_variants_of_the_session_of_the_networks_count() -> None:
    """Another space was profiled later, on a machine that was slower by a tenth; it has no network of this space."""
    variants = [record("a", 1, 1.0), record("a", 2, 1.1, anchor_ms=2.2), record("b", 1, 3.0)]
    assert chosen(variants, [record("n", 1, 4.0)]) == {"a": (1, 1.0), "b": (1, 3.0), "n": (1, 4.0)}


def test_records_of_another_session_are_brought_to_its_speed() -> None:
    variants = [record("a", 1, 1.1, anchor_ms=2.2), record("b", 2, 3.0)]
    assert chosen(variants, [record("n", 2, 4.0)]) == {"a": (1, 1.0), "b": (2, 3.0), "n": (2, 4.0)}


def test_an_unstable_record_replaces_no_stable_one() -> None:
    variants = [record("a", 1, 1.0), record("a", 2, 2.0, anchor_ms=4.0, unstable="rounds vary by 9 %")]
    networks = [record("n", 1, 4.0), record("n", 2, 8.0, anchor_ms=4.0)]
    assert chosen(variants, networks) == {"a": (1, 2.0), "n": (2, 8.0)}


def test_an_unstable_record_counts_if_there_is_no_other() -> None:
    assert chosen([record("a", 1, 1.0, unstable="interrupted")], []) == {"a": (1, 1.0)}


def test_a_later_profile_of_all_variants_counts() -> None:
    """Also if it timed no networks; those of the earlier session are brought to its speed."""
    variants = [record("a", 1, 1.0), record("a", 2, 1.5, anchor_ms=3.0)]
    assert chosen(variants, [record("n", 1, 4.0)]) == {"a": (2, 1.5), "n": (1, 6.0)}


def test_without_networks_the_newest_session_counts() -> None:
    assert chosen([record("a", 1, 1.0), record("a", 2, 1.5)], []) == {"a": (2, 1.5)}


def test_without_an_anchor_the_latency_stays_as_it_is() -> None:
    variants = [record("a", 1, 1.1, anchor_ms=None)]
    assert chosen(variants, [record("n", 2, 4.0)])["a"] == (1, 1.1)


@pytest.mark.long
def test_profiling_another_space_on_a_slower_device_leaves_the_calibration(tmp_path: Path) -> None:
    """The spaces share the stem; the device is slower by a half when the second one is profiled."""
    tiny = "shufflenet_v2_quick:size_px=16,stem_channels=8,stage_widths={},stage_repeats=1,head_channels=32"
    space, other = load_space(tiny.format(16)), load_space(tiny.format(20))
    db, plan = str(tmp_path / "latency.sqlite"), MeasurementPlan(2, 1.0, 0.0, networks=3)
    target = ready_target(TargetSpec(backend="fake", batch=8))
    slower = replace(target, backend=ready_target(TargetSpec(backend="fake:slowdown=0.5")).backend)
    before = profile_space(space, target, plan, db, Quiet()).table
    profile_space(other, slower, plan, db, Quiet())
    assert load_table(space, target.target, db) == before
    assert load_table(other, target.target, db).latency_ms(stem_key(space)) == 1.5 * before.latency_ms(stem_key(space))
