"""Real steps: what each method keeps in memory."""

import pytest

from toolchain.paper.method_steps import METHODS, MethodSteps, measure_steps
from toolchain.training.job import Job


@pytest.fixture(scope="module")
def table(job: Job) -> MethodSteps:
    result = measure_steps(job, 3)
    assert not job.run.folder.exists()
    return result


def test_memory_grows_with_the_choices_of_a_step(table: MethodSteps) -> None:
    rows = {row.method: row for row in table.rows}
    assert tuple(rows) == METHODS
    assert (rows["spos"].memory_ratio, rows["spos"].time_ratio, table.batch) == (1.0, 1.0, 16)
    assert rows["spos"].architecture_mib is None
    assert rows["policy"].memory_ratio == pytest.approx(1.0, abs=0.3)  # one path, another one
    assert 1.3 < rows["two-path"].memory_ratio < 2.2
    assert 2.0 < rows["gumbel"].memory_ratio < 4.5  # four choices; stem and head are shared
    assert rows["gumbel"].memory_ratio == pytest.approx(rows["darts"].memory_ratio, rel=0.01)
    gumbel = rows["gumbel"]
    assert gumbel.architecture_mib is not None
    assert gumbel.architecture_mib > gumbel.weights_mib  # it also keeps the output of each choice, for its weight
    assert all(row.step_ms > 0 for row in table.rows)


def test_printed_ratios(table: MethodSteps) -> None:
    """24, 37 and 63 GB on 8 GPUs; 12, 15 and 20 GPU days."""
    rows = {row.method: row for row in table.rows}
    assert rows["two-path"].paper_memory_ratio == pytest.approx(1.5417, abs=1e-4)
    assert rows["gumbel"].paper_memory_ratio == pytest.approx(2.625)
    assert (rows["two-path"].paper_time_ratio, rows["gumbel"].paper_time_ratio) == pytest.approx(
        (1.25, 1.6667), abs=1e-4
    )
    assert rows["darts"].paper_memory_ratio is None
