"""The process on a remote device: it answers requests from the workstation, one after the other.

It ends with its connection, so nothing stays on the device but cached files. A request is a JSON object with `do` and
the arguments of the method of that name (`exporters.agent.requests`); a reply has its `id` with `ok`, or with `error`
and `text`.
"""

from __future__ import annotations

import os
import select
from typing import Any

from exporters.agent.frames import decode, encode
from exporters.agent.requests import Agent

MAX_SILENCE_S = 600.0  # with the lock held: the workstation may have vanished without closing the connection


def serve(source: int, sink: int, sources: dict[str, str]) -> None:
    """Answer requests until the connection ends.

    Args:
        source, sink: descriptors.
        sources: of the modules that were sent, by name.
    """
    agent = Agent(sources)

    def read(size: int) -> bytes:
        parts = []
        while size:
            silence = MAX_SILENCE_S if agent.lock_file is not None and agent.lock_file.held else None
            ready, _, _ = select.select([source], [], [], silence)
            part = os.read(source, min(size, 2**20)) if ready else b""
            if not part:
                raise EOFError
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def write(message: dict[str, Any], raw: bytes = b"") -> None:
        content = memoryview(encode(message, raw))
        while content:
            content = content[os.write(sink, content) :]

    try:
        write({"id": 0, "ok": agent.hello()})
        while True:
            write(*agent.answer(*decode(read)))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        agent.unlock()


def main(sources: dict[str, str]) -> None:
    """Serve on the standard streams; what libraries print goes to stderr."""
    source, sink = os.dup(0), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    serve(source, sink, sources)
    os._exit(0)  # at once: threads of the runtime have nothing to finish
