"""The errors of this package.

Exception
`-- ExporterError            base; ends a command with exit code 2
    |-- UnknownBackend       no backend has that name
    |-- BackendUnavailable   exit code 5: a backend cannot run on this machine
    |   `-- OtherPrecision   it would compute in another precision than requested
    |-- UnknownDevice        no device has that name
    |-- DeviceMissing        exit code 5: a known device is not attached to this machine
    |-- DeviceUnreachable    exit code 5: no connection to a remote device, or no Python on it
    |-- ConnectionLost       exit code 5: the connection to a remote device has ended
    |-- DeviceFailed         exit code 5: a remote device cannot do what it must: its disk is full, an invalid answer
    |-- WrongPrecision       a file computes in another precision than requested
    |-- NotOnnx              a file is missing, truncated, or not an ONNX model that can be used
    |-- ExportFailed         a module cannot be exported or quantized as it is
    |-- EngineFailed         an engine cannot be built, loaded or run
    `-- ParityFailed         exit code 1: a file does not compute what its module computes

Every message says what is wrong, for which input, and what to do next.
"""


class ExporterError(Exception):
    """Base of this package's errors."""

    exit_code = 2


class UnknownBackend(ExporterError):
    """No backend has that name; the message lists the names."""


class BackendUnavailable(ExporterError):
    """A backend cannot run on this machine; the message has the reason and the remedy."""

    exit_code = 5


class OtherPrecision(BackendUnavailable):
    """A backend would compute in another precision here; the remedy depends on the command."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}. {remedy}")
        self.reason = reason


class UnknownDevice(ExporterError):
    """No device has that name; the message lists similar names."""


class DeviceMissing(ExporterError):
    """The device is known, but not attached to this machine."""

    exit_code = 5


class DeviceUnreachable(ExporterError):
    """A remote device cannot be reached, or has no Python interpreter that can be used."""

    exit_code = 5


class ConnectionLost(ExporterError):
    """The connection to a remote device has ended; the same command resumes."""

    exit_code = 5


class DeviceFailed(ExporterError):
    """A remote device cannot do what it must: its disk is full, or its answer is invalid."""

    exit_code = 5


class WrongPrecision(ExporterError):
    """The file computes in another precision than requested."""


class NotOnnx(ExporterError):
    """The file or its external data is missing or truncated, or it is not an ONNX model that can be used."""


class ExportFailed(ExporterError):
    """The module cannot be exported or quantized as it is."""


class EngineFailed(ExporterError):
    """An engine cannot be built, loaded or run; the message has the node, if known, and the remedy."""


class ParityFailed(ExporterError):
    """The exported file does not compute what the module computes."""

    exit_code = 1


def first_line(problem: Exception) -> str:
    """The first line of a library's error, or the type of one without a text."""
    return (str(problem).strip().splitlines() or [type(problem).__name__])[0]
