"""Parts of a report that need no run: limits of shared budgets, the front, and figures as text."""

import pytest

from toolchain.run_report.budgets import limit_results
from toolchain.run_report.comparison import Comparison
from toolchain.run_report.page import field_of, formatted
from toolchain.search.front import front_of
from toolchain.search.winner import SharedLatencies, Winner

HERE = {"latency_ms": 1.0, "latency_upper_ms": 1.2, "measured_latency_ms": 1.5, "measured_upper_ms": 1.6}


def winner(limits: dict[str, float], **fields: object) -> Winner:
    return Winner.model_validate(
        {"architecture": ("a",), "space": "s", "space_digest": "d", "holdout_accuracy": 0.5, "limits": limits, **fields}
    )


def test_a_latency_is_compared_by_its_upper_end() -> None:
    (limit,) = limit_results(winner({"latency_ms": 1.55}, **HERE), {})
    assert (limit.value, limit.bound, limit.met) == (1.5, 1.6, False)
    (limit,) = limit_results(winner({"latency_ms": 1.55}, latency_ms=1.0, latency_upper_ms=1.2), {})
    assert (limit.value, limit.bound, limit.met) == (1.0, 1.2, None), "a prediction alone does not tell"


def test_counted_costs_are_compared_exactly() -> None:
    for macs, met in ((99, True), (100, True), (101, False)):
        (limit,) = limit_results(winner({"macs": 100.0}), {"macs": macs})
        assert (limit.value, limit.met) == (macs, met)


def test_a_shared_budget_has_the_latency_of_each_device() -> None:
    there = SharedLatencies(measured_latency_ms=3.0, measured_upper_ms=3.5, limit_ms=4.0, target="t")
    shared = winner({"latency_ms": 2.0, "latency_ms@pi": 4.0}, **HERE, elsewhere={"ssh://pi": there})
    assert [(limit.bound, limit.met) for limit in limit_results(shared, {})] == [(1.6, True), (3.5, True)]


def test_the_front_is_not_beaten() -> None:
    assert front_of([1.0, 2.0, 2.0, 3.0, 0.5], [0.5, 0.4, 0.6, 0.6, 0.1]) == (4, 0, 2)
    assert front_of([], []) == ()


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (0.9089, "share", "90.89%"),
        (0.90345, "percent", "90.3%"),
        (1.23456, "ms", "1.235 ms"),
        (0.03525, "ms", "0.0352 ms"),
        (1058384, "count", "1,058,384"),
        (1058384, "short", "1.06M"),
        (194269, "bytes", "194.3 kB"),
        (4967847, "bytes", "4.97 MB"),
        ([1, 2], "length", "2"),
        (None, "share", "unknown"),
        ("2.22e+17", "text", "2.22e+17"),
    ],
)
def test_figures_as_text(value: object, form: str, text: str) -> None:
    assert formatted(value, form) == text  # type: ignore[arg-type]


def test_a_field_of_something_unknown_is_unknown() -> None:
    assert field_of({"budgets": [{"test": None}]}, "budgets.0.test.share") is None
    assert field_of({"budgets": [{"test": {"share": 0.5}}]}, "budgets.0.test.share") == 0.5


def test_differences_name_both_values() -> None:
    compared = Comparison()
    compared.same("a", 1.0, 1.0 + 1e-12, tolerance=1e-9)
    compared.same("b", 1, 2)
    compared.whole("c", 0.5, 3)
    result = compared.result()
    assert result.checked == 3
    assert result.differences == (
        "b is 1, but computed again it is 2",
        "c is 0.5, which is no whole number of 3 images",
    )
