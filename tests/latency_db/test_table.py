"""A part's figures from its rounds, and parts that were not measured."""

from dataclasses import FrozenInstanceError, replace

import pytest

from latency_db.errors import MissingLatency
from latency_db.table import LatencyTable, Row, Sample, summarize
from latency_db.target import Target

ROUNDS = [  # calls, wall least and median, CPU least and median
    Sample(3, 9.0, 10.0, 4.0, 5.0),
    Sample(3, 8.0, 14.0, 3.5, 6.0),
    Sample(3, 8.5, 11.0, 4.5, 5.5),
]


def test_one_thread_is_told_by_its_cpu_time() -> None:
    found = summarize(ROUNDS, threads=1)
    assert (found.latency_ms, found.median_ms, found.mad_ms, found.n) == (3.5, 5.5, 0.5, 3)
    assert found.p90_ms == pytest.approx(5.9)  # medians 5, 5.5, 6: 0.9 of the way is 5.5 + 0.8 * 0.5


@pytest.mark.parametrize("threads", [2, 8])
def test_more_threads_are_told_by_the_clock(threads: int) -> None:
    found = summarize(ROUNDS, threads)
    assert (found.latency_ms, found.median_ms, found.mad_ms, found.n) == (8.0, 11.0, 1.0, 3)


def test_a_single_round_is_its_own_spread() -> None:
    found = summarize(ROUNDS[:1], threads=1)
    assert (found.latency_ms, found.median_ms, found.p90_ms, found.mad_ms) == (4.0, 5.0, 5.0, 0.0)


CALM, HIT = (
    Sample(3, 9.0, 9.0, 4.0, 5.0, (4.0, 5.0, 6.0)),
    Sample(3, 8.0, 9.0, 3.0, 5.0, (3.0, 5.0, 7.0), "interrupted"),
)


def test_a_least_time_counts_once_a_second_round_comes_near_it() -> None:
    near, far = replace(CALM, busy_ms_min=4.3), replace(CALM, busy_ms_min=4.5)
    assert summarize([CALM, near, far], 1).unstable == ""
    assert summarize([CALM, far], 1).unstable == "no second round within 10% of the least"
    assert summarize([CALM], 1).unstable == ""  # asked for one round, there is nothing to compare with


def test_noisy_rounds_are_ignored_if_two_quiet_rounds_agree() -> None:
    found = summarize([HIT, CALM, HIT, CALM], 1)
    assert (found.latency_ms, found.min_ms, found.median_ms, found.unstable) == (4.0, 4.0, 5.0, "")
    assert (found.n, found.rounds) == (12, 4)


@pytest.mark.parametrize(("hits", "calms"), [(3, 1), (2, 0), (1, 0)])
def test_all_rounds_count_if_too_few_are_quiet(hits: int, calms: int) -> None:
    found = summarize([HIT] * hits + [CALM] * calms, 1)
    assert found.latency_ms == 3.0
    assert found.unstable == f"interrupted in {hits} of {hits + calms} rounds"


def test_a_gpus_figure_is_the_median_of_the_steady_rounds() -> None:
    rounds = [Sample(9, 5.0, 5.0, ms - 0.1, ms, (), "", reference) for ms, reference in [(2, 1), (2.2, 1.1), (4, 2)]]
    found = summarize(rounds, 1, "gpu")
    assert found.latency_ms == pytest.approx(2.2)  # all at the speed of the middle round
    assert found.anchor_ms == 1.1
    assert found.unstable == ""
    alone = summarize([replace(sample, anchor_ms=None) for sample in rounds], 1, "gpu")
    assert (alone.latency_ms, alone.unstable) == (2.2, "rounds vary by 32.9%")
    throttled = [replace(rounds[0], noise_reason="power cap")] * 2
    assert summarize([rounds[0], *throttled], 1, "gpu").unstable == "power cap in 2 of 3 rounds"


def test_figures_of_two_days_are_compared_at_one_speed() -> None:
    found = summarize([replace(CALM, anchor_ms=2.0)] * 2, 1)
    assert found.at_speed_of(2.5) == pytest.approx(5.0)
    assert summarize([CALM], 1).at_speed_of(2.5) == 4.0  # no anchor network was timed


def test_a_table_names_what_cannot_be_trusted(target: Target) -> None:
    rows = {key: Row(key, summarize(samples, 1), "hash", 1) for key, samples in {"b": [HIT], "a": [CALM]}.items()}
    assert LatencyTable(target, rows).unstable() == {"b": "interrupted in 1 of 1 rounds"}


def test_an_unmeasured_part_is_an_error_that_says_what_to_type(target: Target) -> None:
    table = LatencyTable(target, {"stem": Row("stem", summarize(ROUNDS, 1), "hash", 1)})
    assert table.latency_ms("stem") == 3.5
    with pytest.raises(MissingLatency) as caught:
        table.latency_ms("choice_5:16x7px->24s2")
    text = str(caught.value)
    assert text.startswith("choice_5:16x7px->24s2 was not measured on Some CPU @ 2 GHz (fake 1.0, batch 8, threads 1)")
    assert "Type nastool profile" in text


def test_what_differs_from_the_nearest_stack_is_named(target: Target) -> None:
    other = replace(target, batch=32)
    with pytest.raises(MissingLatency, match=r"of another target: batch: 8 here, 32 there\. Type nastool profile with"):
        LatencyTable(target, {}, {"stem": other}).latency_ms("stem")
    titan = replace(target, device_model="NVIDIA TITAN Xp", device_kind="estimate", os="", backend="roofline")
    with pytest.raises(MissingLatency, match="Type nastool profile --estimate with the same") as caught:
        LatencyTable(titan, {}, {"stem": target}).latency_ms("stem")
    assert "device_kind: estimate here, cpu there." in str(caught.value)
    assert "os:" not in str(caught.value)  # that follows from the device


def test_a_table_does_not_change(target: Target) -> None:
    with pytest.raises(FrozenInstanceError):
        LatencyTable(target, {}).target = target  # type: ignore[misc]
