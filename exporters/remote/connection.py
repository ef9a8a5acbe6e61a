"""A connection to a remote device: it starts the agent there, sends requests and validates the answers."""

import hashlib
import shlex
from contextlib import suppress
from itertools import count
from typing import Any

from exporters.agent.file_cache import ONNX
from exporters.errors import ConnectionLost, DeviceFailed, DeviceUnreachable
from exporters.remote.address import Address
from exporters.remote.channel import Channel
from exporters.remote.facts import FactCache, GpuFacts
from exporters.remote.messages import Conditions, Has, Hello, Nothing, Owner, Reply, validated
from exporters.remote.sources import bootstrap

HELLO_S = 60.0  # longest time until the agent runs: a slow device imports onnxruntime for many seconds
ANSWER_S = 600.0  # longest time of one request: a slow device compiles a large file for minutes
PART_BYTES = 2**22  # of an upload
NO_PYTHON = (126, 127)  # exit codes of a shell that cannot run a command


class RemoteError(Exception):
    """A request failed on the device. Callers in this package handle it.

    Args:
        kind: the name of an error of `exporters.errors`, or `failed`.
    """

    def __init__(self, text: str, kind: str = "failed") -> None:
        super().__init__(text)
        self.kind = kind


class Connection:
    """A device that answers requests, one after the other; the connection ends with this object.

    Args:
        hello: what the device is and has.

    Attributes:
        peak_bytes: by the digest of each file that was loaded, how much the memory of the process on the device grew
            until it had run once; 0 if unknown.
    """

    def __init__(self, address: Address, channel: Channel, hello: Hello) -> None:
        self.address = address
        self.hello = hello
        self.peak_bytes: dict[str, int] = {}
        self._channel = channel
        self._numbers = count(1)
        self._known = FactCache()

    @property
    def facts(self) -> GpuFacts:
        """What the device says of its GPUs."""
        return GpuFacts(self.ask, self._known)

    @property
    def name(self) -> str:
        """The address, as it was given."""
        return self.address.text

    def submit(self, do: str, raw: bytes = b"", **arguments: Any) -> int:
        """Send a request; returns its number, for `answer`.

        Raises:
            ConnectionLost: the connection has ended.
        """
        number = next(self._numbers)
        self._channel.send({"id": number, "do": do, **arguments}, raw, ANSWER_S)
        return number

    def answer(self, number: int, kind: type[Reply], timeout_s: float = ANSWER_S) -> tuple[Reply, bytes]:
        """The answer to a request. Answers to earlier requests that nobody waits for are dropped.

        Raises:
            ConnectionLost: the connection has ended.
            RemoteError: the request failed.
            DeviceFailed: the disk of the device is full, or it sent something invalid.
        """
        message: dict[str, Any] = {}
        raw = b""
        while message.get("id") != number:
            message, raw = self._channel.receive(timeout_s)
        if "error" not in message:
            return validated(kind, message.get("ok"), self.name), raw
        text = "".join(filter(str.isprintable, str(message.get("text"))[:2000]))
        if message["error"] == "disk_full":
            raise DeviceFailed(
                f"the disk of {self.name} is full ({text}). Free some space there and run the same command again"
            )
        raise RemoteError(text, str(message["error"]))

    def request(
        self, do: str, kind: type[Reply], raw: bytes = b"", *, timeout_s: float = ANSWER_S, **arguments: Any
    ) -> tuple[Reply, bytes]:
        """Send a request and wait for its answer, for `timeout_s` seconds at most.

        Raises:
            ConnectionLost, RemoteError, DeviceFailed: see `answer`.
        """
        return self.answer(self.submit(do, raw, **arguments), kind, timeout_s)

    def ask(self, do: str, kind: type[Reply], raw: bytes = b"", **arguments: Any) -> Reply:
        """`request`, where nothing but the machine or the connection can be the reason for a failure.

        Raises:
            ConnectionLost: the connection has ended.
            DeviceFailed: the device cannot do it.
        """
        try:
            return self.request(do, kind, raw, **arguments)[0]
        except RemoteError as problem:
            raise DeviceFailed(
                f"{self.name} cannot do what is needed: {problem}. Correct this and run the same command again"
            ) from None

    def conditions(self, gpu: str = "") -> dict[str, object]:
        """Load, temperature, clock and throttling of the device now; those of the GPU with the uuid `gpu`, if given."""
        if gpu:
            self.facts.require_modules()
        return self.ask("conditions", Conditions, gpu=gpu).model_dump(exclude_none=True)

    def lock(self, owner: str, uid: str) -> str | None:
        """Lock the device with this uid for `owner`; returns None, or the present owner."""
        return self.ask("lock", Owner, owner=owner, uid=uid).owner

    def unlock(self) -> None:
        """Free the lock."""
        self.release("unlock")

    def release(self, do: str, **arguments: Any) -> None:
        """A request that frees something, without waiting: Ctrl-C must not wait for the timings that were requested.

        A device that is not connected any more has freed everything.
        """
        with suppress(ConnectionLost):
            self.submit(do, **arguments)

    def upload(self, content: bytes, suffix: str = ONNX) -> str:
        """Copy a file to the device, unless it is there already; returns its SHA-256 digest.

        Args:
            suffix: `exporters.agent.file_cache.ONNX` or `PLAN`.

        Raises:
            ConnectionLost, DeviceFailed: see `ask`.
        """
        digest = hashlib.sha256(content).hexdigest()
        if not self.ask("has", Has, digest=digest, suffix=suffix).has:
            for offset in range(0, len(content), PART_BYTES):
                part = content[offset : offset + PART_BYTES]
                last = offset + PART_BYTES >= len(content)
                self.ask("put", Nothing, part, digest=digest, offset=offset, last=last, suffix=suffix)
        return digest

    def reconnect(self) -> tuple[str, ...]:
        """Start a new process on the device in place of the one that was lost; its files have to be loaded again.

        Returns:
            each difference of the device that makes it another target: `clocks: governor powersave, before unknown`.

        Raises:
            DeviceUnreachable, DeviceFailed: see `connect`.
        """
        self.close()
        before, again = self.hello, connect(self.address)
        self._channel, self.hello = again._channel, again.hello
        return (*before.differences(self.hello), *self.facts.ask_again())

    def close(self) -> None:
        """End the connection and the process on the device."""
        self._channel.close()


def connect(address: Address) -> Connection:
    """Start the agent on a device.

    Raises:
        DeviceUnreachable: it cannot be reached, or has no Python; the message has the reason.
        DeviceFailed: what it sent is invalid.
    """
    source = bootstrap()
    code = f"import sys,zlib;exec(zlib.decompress(sys.stdin.buffer.read({len(source)})).decode())"
    try:
        channel = Channel(address.with_arguments("-u", "-c", code), address.text)
    except OSError as problem:
        raise DeviceUnreachable(
            f"cannot start {address.command[0]!r} to reach {address.text}: {problem.strerror}. Install it, or correct "
            f"the address"
        ) from None
    try:
        channel.write(source, HELLO_S)
        message, _ = channel.receive(HELLO_S)
    except ConnectionLost as problem:
        raise _unreachable(address, channel, problem) from None
    return Connection(address, channel, validated(Hello, message.get("ok"), address.text))


def _unreachable(address: Address, channel: Channel, problem: ConnectionLost) -> DeviceUnreachable:
    """Why the agent did not start, and what to do about it."""
    said, code = channel.said(), channel.exit_code()
    if code in NO_PYTHON or "Error" in said:
        remedy = (
            "Install Python 3.9 or later there, or name its interpreter, as in ssh://user@host/~/venv/bin/python"
            if address.shell
            else "Check that the command runs a Python interpreter of version 3.9 or later"
        )
    elif "Host key verification failed" in said or "host key" in said.lower():
        remedy = "Connect once with ssh, compare the key of the host and accept it; nastool never accepts keys"
    elif "Permission denied" in said:
        remedy = "Set up a key that needs no password (ssh-copy-id, ssh-agent); nastool cannot type one"
    else:
        remedy = "Check the address, and that the command connects by itself: " + shlex.join(address.command)
    reason = said or str(problem).partition(". ")[0]
    return DeviceUnreachable(f"cannot reach {address.text}: {reason.rstrip('.')}. {remedy}")
