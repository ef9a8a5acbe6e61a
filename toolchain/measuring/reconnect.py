"""A measurement goes on after a lost connection to a remote device, with the round in which it was lost."""

from collections.abc import Iterable
from time import sleep

from exporters.errors import ConnectionLost, DeviceUnreachable
from exporters.remote.connection import Connection
from latency_db.errors import TargetMismatch
from toolchain.measuring.timed_file import TimedFile
from toolchain.progress import Progress

WAITS_S = (0.0, 2.0, 10.0)  # before each attempt; a further loss without a complete round ends the command


def reconnect(files: Iterable[TimedFile], problem: ConnectionLost, attempt: int, progress: Progress) -> None:
    """Connect to the devices of `files` again.

    Args:
        problem: why the connection was lost.
        attempt: how often this was tried since the last complete round.

    Raises:
        ConnectionLost: `problem`, after the last attempt.
        DeviceUnreachable: a device cannot be reached any more.
        TargetMismatch: it is in another state, so that its latencies cannot be compared with the earlier ones.
    """
    if attempt >= len(WAITS_S):
        raise problem
    progress.say(f"{str(problem).partition('. ')[0]}; connecting again")
    devices = [file.target.device for file in files]
    connections = {device.remote for device in devices if device is not None and device.remote is not None}
    while True:
        sleep(WAITS_S[attempt])
        try:
            for connection in connections:
                _connect(connection)
        except DeviceUnreachable:
            attempt += 1
            if attempt >= len(WAITS_S):
                raise
        else:
            return


def _connect(connection: Connection) -> None:
    if differences := connection.reconnect():
        raise TargetMismatch(
            f"{connection.name} has changed while it was not connected: {'; '.join(differences)}. Run the same command "
            f"again: it starts with new rounds"
        )
