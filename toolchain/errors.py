"""What can go wrong, and the exit code that it ends a command with.

    Exception
    |-- NastoolError                       base of everything raised on purpose in the toolchain
    |   |-- UserError                      exit 2: the request or its input is wrong; nothing was changed
    |   |   |-- UnknownSpace, BadArchitecture, BadUnit, BadConfig, BadData
    |   |   |-- BudgetInfeasible           no architecture of the space can fit the limits
    |   |   |-- BadCheckpoint              truncated, or made for another space or recipe
    |   |   |-- BadDocument                a JSON file of a run, or a line of a journal, is damaged
    |   |   |-- BadLaunch                  the environment doesn't say which of several processes this is
    |   |   |-- MissingStage               a command's input was not made yet
    |   |   `-- RunFolderError             the run folder can't be written, is in use, or the disk is full
    |   |-- CheckFailed                    exit 1: all ran, and the answer is no
    |   |-- TrainingDiverged               exit 1: the loss is not finite; the last good checkpoint stays
    |   `-- Inconclusive                   exit 3: all ran, and the machine was too restless for an answer
    |-- latency_db.errors.LatencyDbError   exit 2 (tree in that file); TargetMismatch 4, DeviceBusy 5
    `-- exporters.errors.ExporterError     exit 2 (tree in that file); ParityFailed 1,
                                              BackendUnavailable and DeviceMissing 5

Each message says what happened, to which thing, and what to type next.
"""

from exporters.errors import ExporterError
from latency_db.errors import LatencyDbError


class NastoolError(Exception):
    """Base of the errors that nastool raises on purpose."""

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
    """nastool.toml or a flag holds a key or value that is not taken."""


class BadData(UserError):
    """The data set is missing, empty, unreadable, or does not fit the space."""


class BudgetInfeasible(UserError):
    """No architecture of the space fits all limits."""


class BadCheckpoint(UserError):
    """A checkpoint can't be read, or belongs to another space or recipe."""


class BadDocument(UserError):
    """A JSON file of a run, or a line of a journal, is damaged; the file and the field are named."""


class BadModel(UserError):
    """A model's file can't be timed or evaluated as it was asked."""


class MissingStage(UserError):
    """A command needs what an earlier command writes, and it isn't there."""


class RunFolderError(UserError):
    """The run folder can't be written, is in use by another command, or the disk is full."""


class NoDevice(UserError):
    """The device to train on is not in this machine."""

    exit_code = 5


class BadLaunch(UserError):
    """What torchrun or a scheduler put into the environment is wrong; the variable is named."""


class RankLost(NastoolError):
    """Another process of the same training has ended, or can't be reached."""


class RankFailed(NastoolError):
    """One of the processes that `--nproc` started failed; it has that one's exit code."""

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class CheckFailed(NastoolError):
    """Everything ran, and the answer is no: over the budget, or slower than the baseline."""

    exit_code = 1


class TrainingDiverged(NastoolError):
    """The loss or the weights are not finite; the last good checkpoint stays."""

    exit_code = 1


class Inconclusive(NastoolError):
    """Everything ran, and the machine was too restless for an answer."""

    exit_code = 3


ON_PURPOSE = (NastoolError, LatencyDbError, ExporterError)


def exit_code(error: Exception) -> int:
    """What a command ends with that raised one of `ON_PURPOSE`."""
    return int(getattr(error, "exit_code", 2))
