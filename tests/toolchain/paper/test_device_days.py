"""Device-days from measured times."""

import pytest

from toolchain.paper.device_days import SEARCHED, device_days
from toolchain.paper.method_steps import METHODS, measure_steps
from toolchain.training.job import Job

STEPS = 2 * 1_237 // 16  # two epochs of the digits outside the hold-out


def test_days_are_times_of_steps_and_candidates(job: Job) -> None:
    steps = measure_steps(job, 2)
    days = device_days(job, steps)
    assert tuple(days) == METHODS
    for row in steps.rows:
        cost = days[row.method]
        assert cost.training == pytest.approx(row.step_ms / 1e3 * STEPS / 86_400, rel=0.01)
        assert (cost.search > 0) == (row.method in SEARCHED)
        assert cost.retraining > 0
        assert cost.total == cost.training + cost.search + cost.retraining
    assert not job.run.folder.exists()
