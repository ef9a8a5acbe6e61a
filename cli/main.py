"""`nastool`: one function a command, errors without tracebacks, exit codes that mean something."""

import errno
import os
import sys
from typing import NoReturn

# Two OpenMP threads that spin for each other are many times slower than one on a busy machine. Must be set
# before torch loads the library.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import typer

from cli import (
    bench,
    check,
    console,
    cost,
    db,
    devices,
    doctor,
    export,
    init,
    profile,
    quickstart,
    rank,
    retrain,
    search,
    space,
    train,
)
from toolchain.errors import ON_PURPOSE, RankLost, exit_code
from toolchain.parallel.launcher import leave_word
from toolchain.parallel.ranks import end_rank, end_with_launcher, require_sound

# What a library meets in a folder that we did not choose ends with a hint as well; all else is a bug of ours.
TROUBLE_WITH_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG, errno.EIO)

INTERRUPTED = 130

commands = typer.Typer(
    name="nastool",
    help="Finds the most accurate convolutional network that measurably fits a budget on your device, and ships it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
commands.command("quickstart")(quickstart.quickstart)
commands.command("init")(init.init)
commands.command("doctor")(doctor.doctor)
commands.command("devices")(devices.devices)
commands.command("profile")(profile.profile)
commands.command("train")(train.train)
commands.command("search")(search.search)
commands.command("retrain")(retrain.retrain)
commands.command("export")(export.export)
commands.command("check")(check.check)
commands.command("rank")(rank.rank)
commands.command("bench")(bench.bench)
commands.command("cost")(cost.cost)
commands.command("space")(space.space)
commands.add_typer(db.app, name="db")


def app() -> None:
    """Run the command line."""
    try:
        require_sound()
        end_with_launcher()
        commands()
    except ON_PURPOSE as problem:
        _end(str(problem), exit_code(problem), lost=isinstance(problem, RankLost))
    except OSError as problem:
        if problem.errno not in TROUBLE_WITH_THE_DISK:
            raise
        _end(
            f"can't write {problem.filename or 'a file'}: {problem.strerror}. Free some space or make the folder "
            f"writable (TMPDIR names the one for temporary files), and type the same again: nothing is lost",
            exit_code=2,
        )
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # typer turns Ctrl-C into this
            console.error("stopped. Nothing is lost: type the same again to go on")
        if not ended.code:
            end_rank()
        raise


def _end(text: str, exit_code: int, lost: bool = False) -> NoReturn:
    console.error(text)
    leave_word(text, exit_code, lost)
    sys.exit(exit_code)


if __name__ == "__main__":
    app()
