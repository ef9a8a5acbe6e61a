"""A part's figures from its rounds, and parts that were not measured."""

from dataclasses import FrozenInstanceError

import pytest

from latency_db.context import Context
from latency_db.errors import MissingLatency
from latency_db.table import LatencyTable, Row, Sample, summarise

ROUNDS = [  # calls, wall least and median, CPU least and median
    Sample(3, 9.0, 10.0, 4.0, 5.0),
    Sample(3, 8.0, 14.0, 3.5, 6.0),
    Sample(3, 8.5, 11.0, 4.5, 5.5),
]


def test_one_thread_is_told_by_its_cpu_time() -> None:
    found = summarise(ROUNDS, threads=1)
    assert (found.latency_ms, found.median_ms, found.mad_ms, found.n) == (3.5, 5.5, 0.5, 3)
    assert found.p90_ms == pytest.approx(5.9)  # medians 5, 5.5, 6: 0.9 of the way is 5.5 + 0.8 * 0.5


@pytest.mark.parametrize("threads", [2, 8])
def test_more_threads_are_told_by_the_clock(threads: int) -> None:
    found = summarise(ROUNDS, threads)
    assert (found.latency_ms, found.median_ms, found.mad_ms, found.n) == (8.0, 11.0, 1.0, 3)


def test_a_single_round_is_its_own_spread() -> None:
    found = summarise(ROUNDS[:1], threads=1)
    assert (found.latency_ms, found.median_ms, found.p90_ms, found.mad_ms) == (4.0, 5.0, 5.0, 0.0)


def test_an_unmeasured_part_is_an_error_that_says_what_to_type(context: Context) -> None:
    table = LatencyTable(context, {"stem": Row("stem", summarise(ROUNDS, 1), "hash", 1)})
    assert table.latency_ms("stem") == 3.5
    with pytest.raises(MissingLatency) as caught:
        table.latency_ms("choice_5:16x7px->24s2")
    text = str(caught.value)
    assert text.startswith("choice_5:16x7px->24s2 was not measured on Some CPU @ 2 GHz (fake 1.0, batch 8, threads 1)")
    assert "Type nastool profile" in text


def test_a_table_does_not_change(context: Context) -> None:
    with pytest.raises(FrozenInstanceError):
        LatencyTable(context, {}).context = context  # type: ignore[misc]
