"""The errors that nastool raises, and the exit code of each.

    Exception
    |-- NastoolError                       base class of the toolchain's errors
    |   |-- UserError                      exit 2: the request or its input is wrong; nothing was changed
    |   |   |-- UnknownSpace, BadArchitecture, BadUnit, BadConfig, BadData
    |   |   |-- BudgetInfeasible           no architecture of the space can fit the limits
    |   |   |-- BadCheckpoint              truncated, or made for another space or recipe
    |   |   |-- BadDocument                a JSON file of a run, or a line of a journal, is damaged
    |   |   |-- BadModel                   a model file cannot be timed or evaluated as requested
    |   |   |-- NoDevice                   exit 5: training was requested on a GPU, and there is none
    |   |   |-- BadLaunch                  the environment variables of a distributed launch are wrong
    |   |   |-- MissingStage               the output of an earlier command is missing
    |   |   |   `-- MissingOutput          the same, with the command that writes it
    |   |   `-- RunFolderError             the run folder cannot be written, is in use, or the disk is full
    |   |-- RankLost, RankFailed           one of several processes has ended, or failed
    |   |-- CheckFailed                    exit 1: the command completed, and the check failed
    |   |-- TrainingDiverged               exit 1: the loss is not finite; the last good checkpoint stays
    |   `-- Inconclusive                   exit 3: the command completed, and the machine was too noisy to decide
    |-- latency_db.errors.LatencyDbError   exit 2 (tree in that file); TargetMismatch 4, DeviceBusy 5
    `-- exporters.errors.ExporterError     exit 2 (tree in that file); ParityFailed 1,
                                              BackendUnavailable and DeviceMissing 5

Each message says what is wrong, for which input, and what to do next.
"""

import errno
import os
import traceback

from exporters.errors import ExporterError
from latency_db.errors import LatencyDbError


class NastoolError(Exception):
    """Base class of the toolchain's errors."""

    exit_code = 2


class UserError(NastoolError):
    """The request or its input is wrong."""


class UnknownSpace(UserError):
    """No search space has that name, or an option of it is wrong."""


class BadArchitecture(UserError):
    """A text or list does not name one choice for each choice block of the space."""


class BadUnit(UserError):
    """An amount without a unit, with a wrong one, or not above zero."""


class BadConfig(UserError):
    """An unknown key or an invalid value in nastool.toml or on the command line."""


class BadData(UserError):
    """The data set is missing, empty, unreadable, or does not fit the space."""


class BudgetInfeasible(UserError):
    """No architecture of the space fits all limits."""


class BadCheckpoint(UserError):
    """A checkpoint cannot be read, or was made for another space or recipe."""


class BadDocument(UserError):
    """A JSON file of a run, or a line of a journal, is damaged; the file and the field are named."""


class BadModel(UserError):
    """A model file cannot be timed or evaluated as requested."""


class MissingStage(UserError):
    """The output of an earlier command is missing."""


class MissingOutput(MissingStage):
    """The same where `command` writes it; the command line adds the flags that it was called with.

    Args:
        what: what is missing, as text.
        run: the name of the run.
    """

    def __init__(self, what: str, command: str, run: str) -> None:
        super().__init__(f"{what} does not exist yet. Run nastool {command} --run {run} first")
        self.what = what
        self.command = command


class RunFolderError(UserError):
    """The run folder cannot be written, is in use by another command, or the disk is full."""


class NoDevice(UserError):
    """The training device is not attached to this machine."""

    exit_code = 5


class BadLaunch(UserError):
    """An environment variable of a distributed launch is wrong; the message names it."""


class RankLost(NastoolError):
    """Another process of the same command has ended or cannot be reached."""


class RankFailed(NastoolError):
    """One of the processes that `--nproc` started failed; has the exit code of that process."""

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class CheckFailed(NastoolError):
    """The command completed, and the check failed: over the budget, or slower than the baseline."""

    exit_code = 1


class TrainingDiverged(NastoolError):
    """The loss or the weights are not finite; the last good checkpoint stays."""

    exit_code = 1


class Inconclusive(NastoolError):
    """The command completed, and the machine was too noisy to decide."""

    exit_code = 3


ON_PURPOSE = (NastoolError, LatencyDbError, ExporterError)

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_WRITES = (*DISK_FULL, errno.EROFS, errno.EFBIG)
_REMEDIES = {
    **dict.fromkeys(DISK_FULL, "Free some space"),
    errno.EROFS: "Make the folder writable",
    errno.EFBIG: "Choose a file system for larger files",
    errno.EACCES: "Change its permissions",
    errno.EPERM: "Change its permissions",
    errno.EMFILE: "Raise the limit on open files (ulimit -n)",
    errno.ENFILE: "Close other programs",
}


def exit_code(error: Exception) -> int:
    """The exit code of a command that raised one of `ON_PURPOSE`."""
    return int(getattr(error, "exit_code", 2))


def os_error_text(action: str, path: object, problem: OSError) -> str:
    """`cannot write model.onnx: No space left on device. Free some space and run the command again`.

    Args:
        action: what failed: read, write, make, ...
        path: the file or folder.
    """
    remedy = remedy_of(problem, "Correct this")
    return f"cannot {action} {path}: {problem.strerror or problem}. {remedy} and run the command again"


def remedy_of(problem: OSError, otherwise: str) -> str:
    """What to do about an error of the operating system; only a full disk needs space."""
    return _REMEDIES.get(problem.errno or 0, otherwise)


def input_error(problem: Exception) -> str | None:
    """The message for an exception that the input or the machine caused, or None for a bug of nastool."""
    if isinstance(problem, OSError) and problem.errno is not None:
        action = "write" if problem.errno in _WRITES else "open"
        return os_error_text(action, _file_of(problem), problem)
    if isinstance(problem, MemoryError) or type(problem).__name__ == "OutOfMemoryError":  # torch's, of a GPU
        return f"out of memory ({str(problem) or 'the system gave no details'}). Use a smaller batch, space or file"
    if isinstance(problem, UnicodeEncodeError):
        return f"{problem.object!r} cannot be encoded as {problem.encoding}. Rename the file, or correct the value"
    if isinstance(problem, RecursionError) and _raised_by_parser(problem):
        return "an input file is nested too deeply to be read. Correct or remove it"
    return None


def _file_of(problem: OSError) -> str:
    if problem.filename is None:
        return "a file"
    return os.fsdecode(problem.filename) if isinstance(problem.filename, bytes) else str(problem.filename)


def _raised_by_parser(problem: RecursionError) -> bool:
    """Whether a parser of files ran out of stack, and not nastool itself."""
    innermost = traceback.extract_tb(problem.__traceback__)[-3:]
    return any(part in frame.filename for frame in innermost for part in ("/json/", "/tomllib/", "/xml/"))
