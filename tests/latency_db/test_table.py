"""Summaries of rounds, and the error for records that were not measured."""

from dataclasses import FrozenInstanceError, replace

import pytest

from latency_db.errors import MissingLatency
from latency_db.table import LatencyTable, Record, Sample, summarize
from latency_db.target import Target

ROUNDS = [  # calls, wall least and median, CPU least and median
    Sample(3, 9.0, 10.0, 4.0, 5.0),
    Sample(3, 8.0, 14.0, 3.5, 6.0),
    Sample(3, 8.5, 11.0, 4.5, 5.5),
]


def test_one_thread_uses_cpu_time() -> None:
    summary = summarize(ROUNDS, threads=1)
    assert (summary.latency_ms, summary.median_ms, summary.mad_ms, summary.n) == (3.5, 5.5, 0.5, 3)
    assert summary.p90_ms == pytest.approx(5.9)  # medians 5, 5.5, 6: 0.9 of the way is 5.5 + 0.8 * 0.5


@pytest.mark.parametrize("threads", [2, 8])
def test_several_threads_use_wall_time(threads: int) -> None:
    summary = summarize(ROUNDS, threads)
    assert (summary.latency_ms, summary.median_ms, summary.mad_ms, summary.n) == (8.0, 11.0, 1.0, 3)


def test_single_round_has_no_deviation() -> None:
    summary = summarize(ROUNDS[:1], threads=1)
    assert (summary.latency_ms, summary.median_ms, summary.p90_ms, summary.mad_ms) == (4.0, 5.0, 5.0, 0.0)


QUIET, NOISY = (
    Sample(3, 9.0, 9.0, 4.0, 5.0, (4.0, 5.0, 6.0)),
    Sample(3, 8.0, 9.0, 3.0, 5.0, (3.0, 5.0, 7.0), "interrupted"),
)


def test_minimum_is_stable_if_a_second_round_is_within_10_percent() -> None:
    near, far = replace(QUIET, busy_ms_min=4.3), replace(QUIET, busy_ms_min=4.5)
    assert summarize([QUIET, near, far], 1).unstable == ""
    assert summarize([QUIET, far], 1).unstable == "no second round within 10% of the least"
    assert summarize([QUIET], 1).unstable == ""  # with one planned round there is nothing to compare with


def test_noisy_rounds_are_ignored_if_two_quiet_rounds_agree() -> None:
    summary = summarize([NOISY, QUIET, NOISY, QUIET], 1)
    assert (summary.latency_ms, summary.min_ms, summary.median_ms, summary.unstable) == (4.0, 4.0, 5.0, "")
    assert (summary.n, summary.rounds) == (12, 4)


@pytest.mark.parametrize(("noisy", "quiets"), [(3, 1), (2, 0), (1, 0)])
def test_all_rounds_count_if_too_few_are_quiet(noisy: int, quiets: int) -> None:
    summary = summarize([NOISY] * noisy + [QUIET] * quiets, 1)
    assert summary.latency_ms == 3.0
    assert summary.unstable == f"interrupted in {noisy} of {noisy + quiets} rounds"


def test_gpu_latency_is_the_median_at_one_speed() -> None:
    rounds = [Sample(9, 5.0, 5.0, ms - 0.1, ms, (), "", reference) for ms, reference in [(2, 1), (2.2, 1.1), (4, 2)]]
    summary = summarize(rounds, 1, "gpu")
    assert summary.latency_ms == pytest.approx(2.2)  # all at the speed of the middle round
    assert summary.anchor_ms == 1.1
    assert summary.unstable == ""
    alone = summarize([replace(sample, anchor_ms=None) for sample in rounds], 1, "gpu")
    assert (alone.latency_ms, alone.unstable) == (2.2, "rounds vary by 32.9%")
    throttled = [replace(rounds[0], noise_reason="power cap")] * 2
    assert summarize([rounds[0], *throttled], 1, "gpu").unstable == "power cap in 2 of 3 rounds"


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_fitted_identity_with_no_latency_is_stable(kind: str) -> None:
    """A fit can give an identity 0 ms; there is nothing to divide by."""
    summary = summarize([Sample(1, 0.0, 0.0, 0.0, 0.0)] * 2, 1, kind)
    assert (summary.latency_ms, summary.unstable) == (0.0, "")


def test_latency_is_scaled_to_the_speed_of_the_anchor_network() -> None:
    summary = summarize([replace(QUIET, anchor_ms=2.0)] * 2, 1)
    assert summary.at_speed_of(2.5) == pytest.approx(5.0)
    assert summarize([QUIET], 1).at_speed_of(2.5) == 4.0  # no anchor network was timed


def test_unstable_names_records_and_reasons(target: Target) -> None:
    records = {
        key: Record(key, summarize(samples, 1), "hash", 1) for key, samples in {"b": [NOISY], "a": [QUIET]}.items()
    }
    assert LatencyTable(target, records).unstable() == {"b": "interrupted in 1 of 1 rounds"}


def test_missing_latency_names_record_target_and_command(target: Target) -> None:
    table = LatencyTable(target, {"stem": Record("stem", summarize(ROUNDS, 1), "hash", 1)})
    assert table.latency_ms("stem") == 3.5
    with pytest.raises(MissingLatency) as caught:
        table.latency_ms("choice_5:16x7px->24s2")
    text = str(caught.value)
    assert text.startswith("choice_5:16x7px->24s2 was not measured on Some CPU @ 2 GHz (fake 1.0, batch 8, threads 1)")
    assert "Run nastool profile" in text


def test_missing_latency_names_the_differences_of_the_nearest_target(target: Target) -> None:
    other = replace(target, batch=32)
    with pytest.raises(
        MissingLatency, match=r"Another target has it: batch: 8 here, 32 there\. Run nastool profile with"
    ):
        LatencyTable(target, {}, {"stem": other}).latency_ms("stem")
    titan = replace(target, device_model="NVIDIA TITAN Xp", device_kind="estimate", os="", backend="roofline")
    with pytest.raises(MissingLatency, match="Run nastool profile --estimate with the same") as caught:
        LatencyTable(titan, {}, {"stem": target}).latency_ms("stem")
    assert "device_kind: estimate here, cpu there." in str(caught.value)
    assert "os:" not in str(caught.value)  # that follows from the device


def test_table_is_immutable(target: Target) -> None:
    with pytest.raises(FrozenInstanceError):
        LatencyTable(target, {}).target = target  # type: ignore[misc]
