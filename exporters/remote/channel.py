"""Messages over the standard streams of a process, with a time limit for each.

execnet was tried first; docs/decisions/0045-remote-devices.md says what it lacks.
"""

import os
import select
import subprocess
from collections.abc import Sequence
from threading import Thread
from time import monotonic
from typing import IO, Any
from weakref import finalize

from exporters.agent.frames import BadFrame, decode, encode
from exporters.errors import ConnectionLost

LAST_BYTES = 4000  # of stderr, for an error message
BLOCK = 2**20
ENDS_WITHIN_S = 2.0  # a process whose input was closed


class Channel:
    """A process that sends and receives messages.

    Args:
        command: starts the process.
        name: of the device, in error messages.
    """

    def __init__(self, command: Sequence[str], name: str) -> None:
        self._name = name
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,  # Ctrl-C is for this process, which closes the connection
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._stderr = _Tail(self._process.stderr)
        self._sink, self._source = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._sink, False)
        self.close = finalize(self, _end, self._process)

    def write(self, content: bytes, timeout_s: float) -> None:
        """Send bytes. Those for a process that has ended are lost; the next `receive` says why it has.

        Raises:
            ConnectionLost: the process does not read for `timeout_s` seconds.
        """
        self._require_open()
        remaining = memoryview(content)
        while remaining:
            _, ready, _ = select.select([], [self._sink], [], timeout_s)
            if not ready:
                raise self._silent(timeout_s)
            try:
                remaining = remaining[os.write(self._sink, remaining[:BLOCK]) :]
            except OSError:
                return

    def send(self, message: dict[str, Any], raw: bytes, timeout_s: float) -> None:
        """Send a message.

        Raises:
            ConnectionLost: see `write`.
        """
        self.write(encode(message, raw), timeout_s)

    def receive(self, timeout_s: float) -> tuple[dict[str, Any], bytes]:
        """The next message.

        Raises:
            ConnectionLost: the process has ended, sent something else, or nothing for `timeout_s` seconds.
        """
        self._require_open()
        end = monotonic() + timeout_s

        def read(size: int) -> bytes:
            content = bytearray()
            while len(content) < size:
                ready, _, _ = select.select([self._source], [], [], max(0.0, end - monotonic()))
                if not ready:
                    raise self._silent(timeout_s)
                block = os.read(self._source, min(size - len(content), BLOCK))
                if not block:
                    raise self._lost()
                content += block
            return bytes(content)

        try:
            return decode(read)
        except BadFrame as problem:
            self.close()
            raise ConnectionLost(
                f"{self._name} sent an invalid message: {problem}. Check that nothing prints to stdout "
                f"when a command is run there"
            ) from None

    def said(self) -> str:
        """The last line that the process wrote to stderr."""
        lines = self._stderr.text().strip().splitlines()
        return "".join(character for character in (lines or [""])[-1] if character.isprintable())

    def exit_code(self) -> int | None:
        """The exit code of the process; None if it has not ended."""
        try:
            return self._process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            return None

    def _require_open(self) -> None:
        if not self.close.alive:  # its descriptors may be those of other files now
            raise ConnectionLost(f"the connection to {self._name} is closed. Run the same command again")

    def _lost(self) -> ConnectionLost:
        code = self.exit_code()
        reason = self.said() or ("the connection was closed" if code is None else f"exit code {code}")
        self.close()
        return ConnectionLost(f"the connection to {self._name} was lost ({reason}). Run the same command again")

    def _silent(self, timeout_s: float) -> ConnectionLost:
        self._process.kill()
        self.close()
        return ConnectionLost(
            f"{self._name} did not answer for {timeout_s:g} s. Check that it is on and not overloaded, and run the "
            f"same command again"
        )


class _Tail:
    """The last bytes of a stream, which is read as it comes, so that neither the process nor a disk fills up."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._last = b""
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def text(self) -> str:
        """What was read so far; of a process that has ended, what it wrote last."""
        self._reader.join(0.2)  # a connection that ssh shares may keep the stream open
        return self._last.decode(errors="replace")

    def _read(self) -> None:
        with self._stream:
            while block := os.read(self._stream.fileno(), LAST_BYTES):
                self._last = (self._last + block)[-LAST_BYTES:]


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Close the streams, which ends the process on the device as well."""
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
    try:
        process.wait(ENDS_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
