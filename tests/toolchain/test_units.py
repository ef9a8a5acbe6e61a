"""Amounts with units, there and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.errors import BadUnit
from toolchain.units import (
    COUNT_PER_UNIT,
    MOST,
    MS_PER_UNIT,
    compact,
    expand,
    format_binary,
    format_count,
    format_ms,
    format_number,
    parse_count,
    parse_latency_ms,
    parse_percent,
    parse_seconds,
)


@pytest.mark.parametrize(
    ("text", "ms"),
    [("17ms", 17.0), ("1.7ms", 1.7), ("0.5s", 500.0), ("900us", 0.9), (" 17 ms ", 17.0), ("+3ms", 3.0)],
)
def test_latencies(text: str, ms: float) -> None:
    assert parse_latency_ms(text) == pytest.approx(ms, rel=1e-15)


@pytest.mark.parametrize(("text", "seconds"), [("60s", 60.0), ("500ms", 0.5), ("5min", 300.0), ("0s", 0.0)])
def test_times(text: str, seconds: float) -> None:
    assert parse_seconds(text) == pytest.approx(seconds, rel=1e-15)


@pytest.mark.parametrize(
    ("text", "problem"),
    [("60", "time '60' has no unit. Write ms, s or min, as in 60s"), ("1h", "unknown unit 'h'"), ("-1s", "below zero")],
)
def test_times_that_cannot_be_read(text: str, problem: str) -> None:
    with pytest.raises(BadUnit, match=problem):
        parse_seconds(text)


@given(st.floats(1e-6, 1e6), st.sampled_from(sorted(MS_PER_UNIT)))
def test_a_latency_reads_back_from_its_digits(value: float, unit: str) -> None:
    assert parse_latency_ms(f"{value:.12f}{unit}") == float(f"{value:.12f}") * MS_PER_UNIT[unit]


@pytest.mark.parametrize("text", ["330M", "330000000", "330000k", "0.33G", "330.000M"])
def test_counts(text: str) -> None:
    assert parse_count(text) == 330_000_000
    assert parse_count("1.5Ki") == 1536
    assert parse_count("2Gi") == 2 * 2**30


@given(st.integers(1, 10**12))
def test_a_count_reads_back_from_its_digits(count: int) -> None:
    assert parse_count(str(count)) == count


@given(st.integers(1, 10**9), st.sampled_from(["k", "M", "G"]))
def test_a_count_with_a_decimal_unit_loses_nothing(count: int, unit: str) -> None:
    """In floats 1.001 * 1000 is 1000.9999999999999, and 1001 would become 1000."""
    per_unit = COUNT_PER_UNIT[unit]
    whole, rest = divmod(count, per_unit)
    digits = len(str(per_unit)) - 1
    assert parse_count(f"{whole}.{rest:0{digits}d}{unit}") == count


def test_counts_read_back_as_they_are_printed() -> None:
    assert parse_count("270,359,360") == 270_359_360


def test_the_papers_bitops_can_be_typed() -> None:
    """Table 6 prints 6.32G and means 2^30 of them, which is no whole number."""
    assert parse_count("6.32Gi") == 6_786_048_327  # 6.32 * 1,073,741,824 = 6,786,048,327.68


@given(st.floats(0.01, 500))
def test_a_percentage_reads_back_from_its_digits(value: float) -> None:
    assert parse_percent(f"{value:.6f}%") == float(f"{value:.6f}") / 100


@pytest.mark.parametrize(
    ("parse", "text", "words"),
    [
        (parse_latency_ms, "17", "'17' has no unit. Write us, ms or s, as in --latency 17ms"),
        (parse_latency_ms, "17m", "has the unknown unit 'm'"),
        (parse_latency_ms, "17MS", "has the unknown unit 'MS'"),
        (parse_latency_ms, "fast", "'fast' is not an amount. Write it as in 17ms"),
        (parse_latency_ms, "", "'' is not an amount"),
        (parse_latency_ms, "1e3ms", "is not an amount"),
        (parse_latency_ms, "nan ms", "is not an amount"),
        (parse_latency_ms, "0ms", "is not above zero"),
        (parse_latency_ms, "-3ms", "is not above zero. Write it as in --latency 17ms"),
        (parse_latency_ms, "99999999999999s", "more than anything"),
        (parse_latency_ms, "9" * 5000 + "ms", "is not an amount"),
        (parse_count, "330m", "has the unknown unit 'm'. Write one of k, M, G, Ki, Mi, Gi, as in --count 330M"),
        (parse_count, "0.5", "'0.5' is no whole number"),
        (parse_count, "270,35", "is not an amount"),
        (parse_count, "0.0005k", "is not above zero"),
        (parse_count, "0", "is not above zero"),
        (parse_count, str(MOST + 1), "more than anything"),
        (parse_percent, "5", "'5' cannot be read. Write it as in 5%"),
        (parse_percent, "5k%", "cannot be read"),
        (parse_percent, "0%", "is not above zero. Write it as in 5%"),
        (parse_percent, "%", "is not an amount"),
    ],
)
def test_what_is_no_amount_is_named(parse, text: str, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(BadUnit) as caught:
        parse(text)
    assert words in str(caught.value)


def test_a_refused_count_names_its_flag() -> None:
    with pytest.raises(BadUnit, match=r"macs '3X' has the unknown unit 'X'.* as in --macs 330M"):
        parse_count("3X", "macs")


@pytest.mark.parametrize(
    ("count", "text"), [(318_729_024, "318.73M"), (6_200_000_000, "6.20G"), (60_000, "60.00k"), (999, "999"), (0, "0")]
)
def test_counts_for_reading(count: int, text: str) -> None:
    assert format_count(count) == text


@pytest.mark.parametrize(("ms", "text"), [(1.23456, "1.235 ms"), (9.99, "9.990 ms"), (17.26, "17.3 ms")])
def test_milliseconds_for_reading(ms: float, text: str) -> None:
    assert format_ms(ms) == text


def test_ranges_are_even_steps_from_end_to_end() -> None:
    assert expand(["13ms..22ms/4"], parse_latency_ms) == pytest.approx((13, 16, 19, 22))
    assert expand(["10M..20M"], parse_count) == (10_000_000, 12_500_000, 15_000_000, 17_500_000, 20_000_000)
    assert expand(["3M", "1M..3M/3"], parse_count) == (3_000_000, 1_000_000, 2_000_000)  # none twice
    assert expand([], parse_count) == ()


@pytest.mark.parametrize("text", ["2M..1M", "1M..1M", "1M..2M/1", "1M..2M/x", "1M..2M/-3"])
def test_a_range_that_is_none_is_named(text: str) -> None:
    with pytest.raises(BadUnit, match=r"the range .* (is empty|has .* steps)"):
        expand([text], parse_count)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (17.0, "ms", "17ms"),
        (1.7, "ms", "1.7ms"),
        (330e6, "MACs", "330M"),
        (6.32 * 2**30, "BitOps", "6.32Gi"),
        (7, "x", "7"),
        (35_400, "MACs", "35.4k"),
        (1_210_000, "MACs", "1.21M"),
    ],
)
def test_amounts_for_file_names(value: float, unit: str, text: str) -> None:
    assert compact(value, unit) == text


def test_bitops_in_the_papers_unit() -> None:
    assert format_binary(6_782_189_568) == "6.316Gi"


@pytest.mark.parametrize(
    ("number", "text"), [(7, "7"), (1_048_576, "1,048,576"), (10**15 - 1, "999,999,999,999,999"), (4**50, "1.268e+30")]
)
def test_numbers_of_architectures(number: int, text: str) -> None:
    assert format_number(number) == text
