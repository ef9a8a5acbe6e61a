"""`nastool`: one function a command, errors without tracebacks, exit codes that mean something."""

import errno
import os
import sys

# Two OpenMP threads that spin for each other are many times slower than one on a busy machine. Must be set
# before torch loads the library.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import typer

from cli import bench, check, console, cost, doctor, export, init, profile, quickstart, retrain, search, space, train
from toolchain.errors import ON_PURPOSE, exit_code

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
commands.command("profile")(profile.profile)
commands.command("train")(train.train)
commands.command("search")(search.search)
commands.command("retrain")(retrain.retrain)
commands.command("export")(export.export)
commands.command("check")(check.check)
commands.command("bench")(bench.bench)
commands.command("cost")(cost.cost)
commands.command("space")(space.space)


def app() -> None:
    """Run the command line."""
    try:
        commands()
    except ON_PURPOSE as problem:
        console.error(str(problem))
        sys.exit(exit_code(problem))
    except OSError as problem:
        if problem.errno not in TROUBLE_WITH_THE_DISK:
            raise
        console.error(
            f"can't write {problem.filename or 'a file'}: {problem.strerror}. Free some space or make the folder "
            f"writable (TMPDIR names the one for temporary files), and type the same again: nothing is lost"
        )
        sys.exit(2)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # typer turns Ctrl-C into this
            console.error("stopped. Nothing is lost: type the same again to go on")
        raise


if __name__ == "__main__":
    app()
