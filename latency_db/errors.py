"""Errors of the latency table.

Exception
`-- LatencyDbError              base; ends a command with exit code 2
    |-- BadAddress              --db names neither a file nor a PostgreSQL server
    |-- NotADatabase            the file is not a latency table
    |-- DatabaseDamaged         it holds values or rows that nastool does not write
    |-- NewerSchema             it was written by a newer nastool
    |-- DatabaseUnwritable      it cannot be opened, read or written: permissions, a full disk
    |-- DatabaseUnreachable     the server does not answer or refuses access
    |-- BadTransfer             an export that cannot be read or is invalid
    |-- UnknownTarget           no target or run with this id
    |-- DeviceBusy              exit code 5: another command measured on the device for too long
    |-- MissingLatency          a record was not measured; it is never taken as 0
    `-- TargetMismatch          exit code 4: two measurements belong to different targets
"""


class LatencyDbError(Exception):
    """Base of this package's errors."""

    exit_code = 2


class BadAddress(LatencyDbError):
    """The place of the table is neither a file name nor the URL of a PostgreSQL server."""


class NotADatabase(LatencyDbError):
    """The file is not an SQLite database, or another program wrote it."""


class DatabaseDamaged(LatencyDbError):
    """The database holds values or rows that nastool does not write."""


class NewerSchema(LatencyDbError):
    """The database was written by a newer nastool."""


class DatabaseUnwritable(LatencyDbError):
    """The file, or a file that nastool needs beside it, cannot be opened, read or written."""


class DatabaseUnreachable(LatencyDbError):
    """The server does not answer, or refuses access."""


class BadTransfer(LatencyDbError):
    """The file is not an export of a latency table, or it is invalid."""


class UnknownTarget(LatencyDbError):
    """No target or run has this id, or several targets do."""


class DeviceBusy(LatencyDbError):
    """Another command measured on the device for the whole time limit."""

    exit_code = 5


class MissingLatency(LatencyDbError):
    """A record was not measured on this target."""


class TargetMismatch(LatencyDbError):
    """Two measurements belong to different targets; the message names the fields."""

    exit_code = 4
