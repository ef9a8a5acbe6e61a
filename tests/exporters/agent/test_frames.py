"""Messages: a JSON object and raw bytes, of limited size."""

import io
import struct

import pytest

from exporters.agent.frames import MAX_JSON, MAX_RAW, BadFrame, decode, encode


def test_round_trip() -> None:
    stream = io.BytesIO(encode({"do": "run", "ms": 0.1}, b"\0\1") + encode({}))
    assert decode(stream.read) == ({"do": "run", "ms": 0.1}, b"\0\1")
    assert decode(stream.read) == ({}, b"")


@pytest.mark.parametrize("lengths", [(MAX_JSON + 1, 0), (2, MAX_RAW + 1), (2**32 - 1, 2**32 - 1)])
def test_a_large_message_is_refused_before_it_is_read(lengths: tuple[int, int]) -> None:
    stream = io.BytesIO(struct.pack("!II", *lengths) + b"{}")
    with pytest.raises(BadFrame, match="is larger than"):
        decode(stream.read)
    assert stream.tell() == 8


@pytest.mark.parametrize("text", [b"hello", b"[1]", b"\xff", b"[" * 100_000])
def test_something_else_is_refused(text: bytes) -> None:
    with pytest.raises(BadFrame, match="a message is not"):
        decode(io.BytesIO(struct.pack("!II", len(text), 0) + text).read)
