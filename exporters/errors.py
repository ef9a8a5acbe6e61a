"""What can go wrong with files that ship.

Exception
`-- ExporterError            base; ends a command with exit code 2
    |-- UnknownBackend       no backend has that name
    |-- BackendUnavailable   exit code 5: it can't run on this machine
    |   `-- OtherPrecision   it would compute in another precision than it was asked for
    |-- UnknownDevice        no device has that name
    |-- DeviceMissing        exit code 5: the device is known, and not attached to this machine
    |-- WrongPrecision       a file computes in another precision than it is said to
    |-- NotOnnx              a file is missing, truncated, or no ONNX
    |-- ExportFailed         a module can't be exported as it is
    |-- EngineFailed         no engine can be built of a file, or an engine can't be loaded
    `-- ParityFailed         exit code 1: file and module compute different things

Every message says what happened, to which thing, and what to do next.
"""


class ExporterError(Exception):
    """Base of this package's errors."""

    exit_code = 2


class UnknownBackend(ExporterError):
    """No backend has that name; the message lists those there are."""


class BackendUnavailable(ExporterError):
    """It can't run here; the message has the reason and the remedy."""

    exit_code = 5


class OtherPrecision(BackendUnavailable):
    """It would compute in another precision here; what to do about that depends on the command."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}. {remedy}")
        self.reason = reason


class UnknownDevice(ExporterError):
    """No device has that name; the message lists similar names."""


class DeviceMissing(ExporterError):
    """The device is known, but not attached to this machine."""

    exit_code = 5


class WrongPrecision(ExporterError):
    """The file computes in another precision than was asked for."""


class NotOnnx(ExporterError):
    """The file is missing, truncated, or no ONNX."""


class ExportFailed(ExporterError):
    """The module can't be exported as it is."""


class EngineFailed(ExporterError):
    """TensorRT can't build an engine of the file, or can't load it; the message has the node and the remedy."""


class ParityFailed(ExporterError):
    """The exported file does not compute what the module does."""

    exit_code = 1
