"""The process on a device, run here in a thread: it answers, and ends with its connection or a vanished workstation."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from exporters.agent import main
from exporters.agent.frames import decode, encode


class Peer:
    """The workstation's end of the pipes."""

    def __init__(self) -> None:
        source, self._sink = os.pipe()
        self._source, sink = os.pipe()
        self.thread = Thread(target=main.serve, args=(source, sink, {}), daemon=True)
        self.thread.start()
        self.hello = self.receive()[0]

    def receive(self) -> tuple[dict[str, Any], bytes]:
        def read(size: int) -> bytes:
            content = b""
            while len(content) < size:
                content += os.read(self._source, size - len(content))
            return content

        return decode(read)

    def ask(self, do: str, raw: bytes = b"", **arguments: Any) -> tuple[dict[str, Any], bytes]:
        os.write(self._sink, encode({"id": 1, "do": do, **arguments}, raw))
        return self.receive()

    def hang_up(self) -> None:
        os.close(self._sink)


@pytest.fixture
def peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Peer]:
    monkeypatch.setenv("NASTOOL_LOCKS", str(tmp_path))
    peer = Peer()
    yield peer
    if peer.thread.is_alive():
        peer.hang_up()


def relu() -> bytes:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
    content: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    ).SerializeToString()
    return content


def load(peer: Peer, content: bytes, **changes: Any) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    assert "ok" in peer.ask("put", content, digest=digest, offset=0, last=True)[0]
    spec = {"session": 7, "digest": digest, "batch": 4, "threads": 1, "integer_fusions": True}
    spec.update(provider="CPUExecutionProvider", gpu=None)
    return peer.ask("load", **(spec | changes))[0]


def test_runs_and_times_a_file(peer: Peer) -> None:
    assert load(peer, relu())["ok"]["peak_bytes"] >= 0
    images = np.array([[-1, 2], [3, -4], [5, 6]], np.float32)
    reply, raw = peer.ask("run", images.tobytes(), session=7, inputs={"x": [3, 2]})
    assert reply["ok"] == {"outputs": {"y": [3, 2]}}
    np.testing.assert_array_equal(np.frombuffer(raw, np.float32).reshape(3, 2), np.maximum(images, 0))
    timing = peer.ask("time", session=7, min_ms=0.1)[0]["ok"]
    assert timing["calls"] >= 3
    assert 0 < timing["wall_ms_min"] <= timing["wall_ms_median"]
    assert peer.ask("conditions")[0]["ok"]["peak_rss_mb"] > 1


def test_a_file_that_the_runtime_refuses(peer: Peer) -> None:
    reply = load(peer, b"no model")
    assert reply["error"] == "failed"
    assert reply["text"]


@pytest.mark.parametrize("request_", [{"do": "time", "session": 99, "min_ms": 1.0}, {"do": "time"}, {"do": 3}, {}])
def test_an_invalid_request_is_answered(peer: Peer, request_: dict[str, Any]) -> None:
    os.write(peer._sink, encode({"id": 5, **request_}))
    reply, _ = peer.receive()
    assert (reply["id"], reply["error"]) == (5, "failed")
    assert "ok" in peer.ask("conditions")[0]


def test_ends_with_its_connection(peer: Peer) -> None:
    peer.hang_up()
    peer.thread.join(5)
    assert not peer.thread.is_alive()


def test_a_workstation_that_vanishes_does_not_keep_the_lock(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "MAX_SILENCE_S", 0.1)
    peer.thread.join(0.3)
    assert peer.thread.is_alive(), "without the lock it waits for as long as the connection lasts"
    assert peer.ask("lock", owner="process 1 on a", uid="cpu-1")[0]["ok"] == {"owner": None}
    peer.thread.join(5)
    assert not peer.thread.is_alive()
