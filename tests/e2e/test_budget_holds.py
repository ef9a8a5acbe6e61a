"""`nastool search` on a device whose networks are 1.3 times slower than the sum of their variants."""

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.long  # whole commands, tens of seconds in all

BACKEND = ("--backend", "fake:scale_whole=1.3,noise=0.01")


@pytest.fixture
def profiled(job: Any, nastool: Callable[..., Any]) -> Any:
    """A profile without whole networks, so that the first winner is predicted by the plain sum."""
    answer = nastool("profile", *BACKEND, "--networks", "0", "--json", cwd=job.folder)
    assert answer.code == 0, answer.stderr
    assert answer.json["networks"] == []
    assert answer.json["calibration"]["networks"] == 0
    return job


def test_search_corrects_its_predictions_until_a_winner_is_within_the_budget(
    profiled: Any, nastool: Callable[..., Any]
) -> None:
    costs = nastool("space", *BACKEND, "--json", cwd=profiled.folder).json["costs"]["latency_ms"]
    # the middle of the sums; the true range starts at 1.3 times the least sum
    limit = f"{(costs['least'] + costs['greatest']) / 2 * 1.2:.6f}ms"
    words = ("search", *BACKEND, "--latency", limit, "--json")
    answer = nastool(*words, cwd=profiled.folder)
    assert answer.code == 0, answer.stderr
    best = answer.json
    assert best["measured_latency_ms"] <= best["measured_upper_ms"] <= best["limits"]["latency_ms"]
    assert best["passed_over"]
    for missed in best["passed_over"]:
        assert missed["latency_upper_ms"] <= best["limits"]["latency_ms"] < missed["measured_upper_ms"]
    assert best["calibration"]["scale"] == pytest.approx(1.3, rel=0.03)
    assert best["latency_ms"] == pytest.approx(best["measured_latency_ms"], rel=0.05)
    assert nastool(*words, cwd=profiled.folder).json == best, "typed again, it is replayed"
    shown = nastool(*words[:-1], cwd=profiled.folder)
    for said in ("latency, predicted", "with a margin of", "latency, measured", "by its rounds"):
        assert said in shown.stdout
    assert "passed over: " in shown.stderr


def test_unreachable_budget_reports_the_fastest_measurement(profiled: Any, nastool: Callable[..., Any]) -> None:
    costs = nastool("space", *BACKEND, "--json", cwd=profiled.folder).json["costs"]["latency_ms"]
    answer = nastool("search", *BACKEND, "--latency", f"{costs['least'] * 1.15:.6f}ms", cwd=profiled.folder)
    assert answer.code == 2
    for said in ("no candidate measured within latency_ms", "compiled and timed", "the space begins at"):
        assert said in answer.stderr
