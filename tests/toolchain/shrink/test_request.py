"""What a user may ask of `nastool shrink`."""

from typing import Any

import pytest

from toolchain.config import parse_config, preset_text
from toolchain.errors import BadConfig, BadUnit
from toolchain.shrink.request import Request, request_of


def request(**flags: Any) -> Request:
    given = {key.replace("__", "."): value for key, value in flags.items()}
    return request_of(parse_config(preset_text("shrink"), {"train.start_from": "w.pt"} | given, "test"))


def test_limits() -> None:
    assert request(search__latency=["8ms"]) == Request(latency_ms=8.0)
    assert request(search__latency=["50%"]) == Request(share=0.5)
    assert request(shrink__max_drop="1%") == Request(max_drop=0.01)
    assert request(search__latency=["800us"], shrink__max_drop="0.5%") == Request(latency_ms=0.8, max_drop=0.005)


def test_a_share_is_of_the_originals_latency() -> None:
    assert Request(share=0.35).limit_ms(12.3456) == 4.321
    assert Request(latency_ms=8.0).limit_ms(12.3456) == 8.0
    assert Request(max_drop=0.01).limit_ms(12.3456) is None


@pytest.mark.parametrize(
    ("flags", "error", "words"),
    [
        ({}, BadConfig, "needs a limit. Give --latency 8ms, --latency 50% or --max-drop 1%"),
        ({"search__latency": ["8"]}, BadUnit, "latency '8'"),
        ({"search__latency": ["100%"]}, BadConfig, "--latency 100% is not faster than the original"),
        ({"search__latency": ["0%"]}, BadUnit, "percentage '0%'"),
        ({"search__latency": ["8ms", "9ms"]}, BadConfig, "takes one latency (given: 8ms, 9ms)"),
        ({"shrink__max_drop": "1"}, BadUnit, "Write it as in --max-drop 1%"),
        ({"shrink__max_drop": "100%"}, BadConfig, "--max-drop 100% allows any network"),
        ({"search__macs": ["1M"]}, BadConfig, "limits of latency only"),
        (
            {"search__latency": ["8ms"], "profile__precision": "int8"},
            BadConfig,
            "nastool export --run shrink --precision",
        ),
        ({"search__latency": ["8ms"], "profile__estimate": True}, BadConfig, "Leave out estimate and target"),
        ({"search__latency": ["8ms"], "train__start_from": None}, BadConfig, "Give --weights FILE"),
    ],
    ids=str,
)
def test_a_wrong_request_is_refused(flags: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        request(**flags)
    assert words in str(caught.value)
