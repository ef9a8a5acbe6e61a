"""An event file of TensorBoard.

torch's SummaryWriter writes in a background thread, where a full disk ends in a traceback; here `add` writes before it
returns and raises an error.
"""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from platform import node

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from toolchain.files import unwritable


class EventFile:
    """`Curves` in a file of `folder`. TensorBoard discards points of earlier files from step `start` on."""

    def __init__(self, folder: Path, start: int) -> None:
        """
        Raises:
            RunFolderError: the disk is full or the folder read-only.
        """
        self._path = folder / f"events.out.tfevents.{time.time():.6f}.{node()}.{os.getpid()}"
        self._write(Event(step=start, file_version="brain.Event:2"))
        self._write(Event(step=start, session_log=SessionLog(status=SessionLog.START)))

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """One point of each curve.

        Raises:
            RunFolderError: as above.
        """
        points = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._write(Event(step=step, summary=Summary(value=points)))

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                RecordWriter(file).write(event.SerializeToString())
        except OSError as problem:
            raise unwritable(self._path, problem) from None
