"""A whole network's figure, and the interval that its rounds leave it in."""

from pathlib import Path
from random import Random

import pytest

from exporters.backends import fake
from latency_db.store import open_store
from latency_db.table import Sample, summarize
from toolchain.costs.latency import network_prefix
from toolchain.measuring.export_for_timing import export_for_timing
from toolchain.measuring.network import measure_network, measurement
from toolchain.measuring.plan import MeasurementPlan
from toolchain.measuring.target import ready_target
from toolchain.measuring.target_spec import TargetSpec
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.network import Network
from toolchain.profiling.stored_table import load_table
from toolchain.progress import Quiet
from toolchain.spaces.core import SearchSpace


def rounds(*ms: float) -> list[Sample]:
    return [Sample(5, value, value, value, value) for value in ms]


def test_rounds_that_agree_leave_no_interval() -> None:
    measured = measurement(rounds(*[2.0] * 6), threads=1)
    assert (measured.latency_ms, measured.upper_ms) == (2.0, 2.0)


def test_the_wider_the_rounds_the_wider_the_interval() -> None:
    rng = Random(0)
    narrow, wide = (
        measurement(rounds(*(2.0 * (1 + spread * rng.random()) for _ in range(8))), threads=1) for spread in (0.01, 0.2)
    )
    assert narrow.latency_ms <= narrow.upper_ms < wide.upper_ms


def test_the_headline_is_that_of_the_table() -> None:
    taken = rounds(2.3, 2.0, 2.1, 2.2)
    assert measurement(taken, threads=1).latency_ms == summarize(taken, threads=1).latency_ms


def test_one_slow_round_among_many_is_no_reason_for_a_wide_interval() -> None:
    assert measurement(rounds(*[2.0] * 9, 20.0), threads=1).upper_ms == pytest.approx(2.0)


FAKE = TargetSpec(backend="fake", batch=8)
PLAN = MeasurementPlan(rounds=2, min_ms=1.0, quiet_timeout_s=0.0)


@pytest.mark.long
def test_a_network_of_the_known_device(tiny_space: SearchSpace, tmp_path: Path) -> None:
    arch = tiny_space.all_same("choice_3")
    export_for_timing(Network(tiny_space, arch, STANDALONE), tiny_space.input_shape, tmp_path / "whole.onnx")
    db = str(tmp_path / "latency.sqlite")
    measured = measure_network(tiny_space, arch, ready_target(FAKE), PLAN, db, Quiet())
    assert measured.latency_ms == measured.upper_ms == fake.latency_ms(tmp_path / "whole.onnx", batch=8)


def test_what_was_timed_is_kept_and_no_part_of_a_calibration(tiny_space: SearchSpace, tmp_path: Path) -> None:
    """A search that goes on after a kill must start from the model that it started from."""
    target, db = ready_target(FAKE), str(tmp_path / "latency.sqlite")
    measured = measure_network(tiny_space, tiny_space.all_same("choice_5"), target, PLAN, db, Quiet())
    with open_store(db) as store:
        (run,) = store.runs()
        (row,) = store.networks(target.target, network_prefix(tiny_space))
    assert (run.kind, row.summary.latency_ms) == ("verify", measured.latency_ms)
    assert load_table(tiny_space, target.target, db).records == {}
