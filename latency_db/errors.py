"""What can go wrong with the latency table.

Exception
`-- LatencyDbError              base; ends a command with exit code 2
    |-- NotADatabase            the file is no latency table
    |-- NewerSchema             it was written by a newer nastool
    |-- DatabaseUnwritable      read-only, or the disk is full
    |-- DatabaseUnreachable     a server that does not answer or let us in, or a URL that can't be read
    |-- BadTransfer             a file that is no export, or a damaged one
    |-- UnknownTarget          no target or run of that id
    |-- DeviceBusy              exit code 5: another command did not let go of it in time
    |-- MissingLatency          a part was not measured; it is never taken as 0
    `-- TargetMismatch         exit code 4: two measurements come from different targets
"""


class LatencyDbError(Exception):
    """Base of this package's errors."""

    exit_code = 2


class NotADatabase(LatencyDbError):
    """The file is no SQLite database, or another program's."""


class NewerSchema(LatencyDbError):
    """The database was written by a newer nastool."""


class DatabaseUnwritable(LatencyDbError):
    """The database can't be made or written."""


class DatabaseUnreachable(LatencyDbError):
    """The server does not answer or does not let us in, or the URL can't be read."""


class BadTransfer(LatencyDbError):
    """The file is no export of a latency table, or a damaged one."""


class UnknownTarget(LatencyDbError):
    """No target or run of that id, or several."""


class DeviceBusy(LatencyDbError):
    """Another command measures on the device, and did not let go of it in time."""

    exit_code = 5


class MissingLatency(LatencyDbError):
    """A part was not measured on this target."""


class TargetMismatch(LatencyDbError):
    """Two measurements come from different targets; the message names the fields."""

    exit_code = 4
