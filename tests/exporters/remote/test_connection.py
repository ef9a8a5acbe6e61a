"""The connection to a device: what it says of itself, what may come back, and every way in which it ends."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, save_model

from exporters.agent.frames import encode
from exporters.agent.machine import this_machine
from exporters.errors import BackendUnavailable, ConnectionLost, DeviceFailed, DeviceUnreachable
from exporters.graph.model import Model
from exporters.remote import connection as connections
from exporters.remote.address import parse_address
from exporters.remote.backends import remote_backend
from exporters.remote.connection import Connection, RemoteError, connect
from exporters.remote.content import content_of
from exporters.remote.messages import Has, Hello, Nothing, TimingReply, validated
from exporters.remote.onnxruntime import OnnxRuntime

UID = "cpu-of-a-test"


@pytest.fixture
def device(plain: str) -> Connection:
    return connect(parse_address(plain))


@pytest.fixture
def file(tmp_path: Path) -> Model:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    save_model(model, tmp_path / "relu.onnx")
    return Model(tmp_path / "relu.onnx")


def test_says_what_it_is(device: Connection) -> None:
    here = this_machine()
    hello = device.hello.model_dump()
    assert {key: hello[key] for key in ("model", "cores", "uid", "affinity", "os", "clocks")} == {
        key: getattr(here, key) for key in ("model", "cores", "uid", "affinity", "os", "clocks")
    }
    assert hello["process"] != os.getpid()
    load = device.conditions()["load_1min"]
    assert isinstance(load, float)
    assert load >= 0


def test_without_its_packages_the_message_names_them(device: Connection) -> None:
    reason = OnnxRuntime(device).unavailable_reason()
    assert reason is not None
    assert "cannot import numpy and onnxruntime. Run" in reason
    assert "-m pip install numpy onnxruntime there" in reason
    with pytest.raises(BackendUnavailable, match="roofline does not run on remote devices"):
        remote_backend(device, "roofline")


def test_a_file_is_sent_once(device: Connection, plain: str, file: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = device.upload(content_of(file))
    assert device.ask("has", Has, digest=digest).has
    again = connect(parse_address(plain))
    sent: list[str] = []
    submit = again.submit

    def record(do: str, *rest: Any, **names: Any) -> int:
        sent.append(do)
        return submit(do, *rest, **names)

    monkeypatch.setattr(again, "submit", record)
    assert again.upload(content_of(file)) == digest
    assert sent == ["has"]


def test_a_damaged_upload_is_refused(device: Connection) -> None:
    with pytest.raises(RemoteError, match="the uploaded file has the digest"):
        device.request("put", Nothing, b"other", digest="0" * 64, offset=0, last=True)


@pytest.mark.parametrize("name", ["answer", "__init__", "_speed", "files", "nothing", "__class__"])
def test_only_requests_can_be_called(device: Connection, name: str) -> None:
    with pytest.raises(RemoteError, match="unknown request"):
        device.request(name, Nothing)


def test_answers_that_nobody_waits_for_are_dropped(device: Connection) -> None:
    device.submit("has", digest="0" * 64)
    device.submit("close", session=3)
    assert "load_1min" in device.conditions()


def test_releasing_does_not_wait(device: Connection) -> None:
    device.lock("process 1 on a", UID)
    device.release("close", session=1)
    device.unlock()
    assert device.lock("process 2 on a", UID) is None, "requests are answered in order"
    os.kill(device.hello.process, signal.SIGKILL)
    for _ in range(3):
        device.unlock()  # what is gone is free


def test_ends_with_the_connection(device: Connection) -> None:
    process = device.hello.process
    device.close()
    deadline = time.monotonic() + 60
    while alive(process) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(process)
    with pytest.raises(ConnectionLost, match="is closed"):
        device.conditions()


def test_a_connection_that_nobody_holds_is_closed(plain: str) -> None:
    """At once, without the garbage collector: the lock of the device ends with it."""
    import gc

    gc.disable()
    try:
        device = connect(parse_address(plain))
        device.facts.gpus()
        process = device.hello.process
        del device
        deadline = time.monotonic() + 60
        while alive(process) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not alive(process)
    finally:
        gc.enable()


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_killed_process_is_a_lost_connection(device: Connection) -> None:
    os.kill(device.hello.process, signal.SIGKILL)
    with pytest.raises(ConnectionLost, match=r"was lost \(.*\)\. Run the same command again") as caught:
        device.conditions()
    assert caught.value.exit_code == 5


def test_the_lock_names_its_owner_and_ends_with_the_process(device: Connection, plain: str) -> None:
    other = connect(parse_address(plain))
    assert device.lock("process 1 on a", UID) is None
    assert other.lock("process 2 on b", UID) == "process 1 on a"
    assert device.lock("process 1 on a", UID) == "process 1 on a", "a nested lock is not acquired again"
    os.kill(device.hello.process, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while other.lock("process 2 on b", UID) is not None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert connect(parse_address(plain)).lock("process 3 on c", UID) == "process 2 on b"
    other.unlock()


def script(tmp_path: Path, text: str) -> str:
    """A command that is no device: it runs `text` whatever its arguments are."""
    file = tmp_path / "device.py"
    file.write_text(f"import sys, time\nout = sys.stdout.buffer\n{text}\nout.flush()\n")
    return f"cmd:{sys.executable} -S {file}"


def hello_as(**changes: object) -> bytes:
    hello = dict.fromkeys(Hello.model_fields, "") | {
        "cores": 1,
        "memory_bytes": 1,
        "free_bytes": 1,
        "process": 1,
        "simulated_speed": 1.0,
    }
    return encode({"id": 0, "ok": hello | changes})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("sys.exit('Permission denied (publickey).')", r"Permission denied \(publickey\)\. Set up a key"),
        ("sys.exit('Host key verification failed.')", r"Host key verification failed\. Connect once with ssh"),
        ("sys.stderr.write('bash: python3: command not found'); sys.exit(127)", "runs a Python interpreter"),
        ("raise SyntaxError('invalid syntax')", r"SyntaxError: invalid syntax\. Check that the command runs a Python"),
        ("out.write(b'Welcome to this board! It prints before every command.')", "sent an invalid message"),
        ("out.write(b'\\xff' * 100)", "sent an invalid message"),
        ("", "exit code 0"),
    ],
)
def test_what_cannot_be_reached_says_why(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(DeviceUnreachable, match=f"cannot reach cmd:.*{reason}") as caught:
        connect(parse_address(script(tmp_path, text)))
    assert caught.value.exit_code == 5


def test_a_command_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(DeviceUnreachable, match=r"cannot start 'docker-of-mine' .* Install it, or correct the address"):
        connect(parse_address("cmd:docker-of-mine exec box python3"))


def test_a_device_that_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HELLO_S", 0.2)
    with pytest.raises(DeviceUnreachable, match=r"did not answer for 0\.2 s"):
        connect(parse_address(script(tmp_path, "time.sleep(60)")))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"cores": -1}, "Hello, cores"),
        ({"model": "x" * 3000}, "Hello, model"),
        ({"model": "\x1b[2J"}, "Hello, model"),
        ({"simulated_speed": float("nan")}, "Hello, simulated_speed"),
        ({"code": "import os"}, "Hello, code"),
        ({"uid": None}, "Hello, uid"),
    ],
)
def test_an_invalid_answer_is_refused(tmp_path: Path, changes: dict[str, object], reason: str) -> None:
    with pytest.raises(DeviceFailed, match=f"sent an invalid answer .{reason}") as caught:
        connect(parse_address(script(tmp_path, f"out.write({hello_as(**changes)!r})")))
    assert caught.value.exit_code == 5


@pytest.mark.parametrize("change", [{"calls": 0}, {"wall_ms_min": -1.0}, {"raw_ms": [float("inf")]}, {"raw_ms": "1"}])
def test_an_invalid_timing_is_refused(change: dict[str, object]) -> None:
    values = ("wall_ms_min", "wall_ms_median", "busy_ms_min", "busy_ms_median")
    timing = {"calls": 1, **dict.fromkeys(values, 1.0), "raw_ms": [1.0], "noise_reason": ""}
    assert validated(TimingReply, timing, "d").timing.raw_ms == (1.0,)
    with pytest.raises(DeviceFailed, match="sent an invalid answer"):
        validated(TimingReply, timing | change, "d")


def test_outputs_must_have_their_shapes(device: Connection) -> None:
    from exporters.remote.session import Session

    session = Session(device, 1)
    arrays = session._arrays({"y": (2, 1)}, np.array([1, 2], np.float32).tobytes())
    np.testing.assert_array_equal(arrays["y"], [[1], [2]])
    with pytest.raises(DeviceFailed, match="do not have the announced shapes"):
        session._arrays({"y": (2**30,)}, b"1234")


def test_another_runtime_is_another_target(device: Connection) -> None:
    hello = device.hello
    assert hello.differences(hello) == ()
    newer = hello.model_copy(update={"onnxruntime": "1.32.0", "free_bytes": 1, "uid": "cpu-restarted", "process": 1})
    assert hello.differences(newer) == (f"onnxruntime: 1.32.0, before {hello.onnxruntime}",)


def test_what_a_device_prints_is_neither_stored_nor_waited_for(tmp_path: Path) -> None:
    printing = "sys.stderr.write('x' * 10**7 + chr(10) + 'the last line')\nsys.exit(3)"
    with pytest.raises(DeviceUnreachable, match=r"cannot reach cmd:.*: the last line\. Check"):
        connect(parse_address(script(tmp_path, printing)))
