"""`nastool`: the commands, and how each of them ends: errors without tracebacks, documented exit codes."""

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

from cli.openmp import SPINCOUNT

os.environ.setdefault("GOMP_SPINCOUNT", SPINCOUNT)  # before torch loads
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's and scipy's: the same, for small regressions

import typer
from typer.exceptions import TyperException

from cli import (
    bench,
    check,
    console,
    cost,
    db,
    devices,
    doctor,
    draw,
    export,
    init,
    interrupts,
    paper,
    profile,
    quickstart,
    rank,
    report,
    retrain,
    run,
    runs,
    search,
    shrink,
    space,
    streams,
    train,
)
from cli.arguments import Command
from cli.usage_error import usage_error
from toolchain.errors import ON_PURPOSE, RankLost, RunFolderError, exit_code, input_error
from toolchain.parallel.launcher import report_failure
from toolchain.parallel.open_files import too_few
from toolchain.parallel.ranks import exit_rank, exit_with_launcher, require_valid_environment

USER_ERROR = 2
BROKEN_PIPE = 141  # what a shell reports for a program that SIGPIPE ended
REPORT = "This is a bug in nastool. Report it with the traceback above and the output of nastool doctor."


def new_program(name: str, text: str) -> typer.Typer:
    """A program without commands yet.

    Args:
        text: what its --help says first.
    """
    return typer.Typer(
        name=name,
        help=text,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


commands = new_program(
    "nastool",
    "Finds the most accurate convolutional network within a latency budget measured on your device, and exports it.",
)
commands.command("quickstart", cls=Command)(quickstart.quickstart)
commands.command("shrink", cls=Command)(shrink.shrink)
commands.command("run", cls=Command)(run.run)
commands.command("init", cls=Command)(init.init)
commands.command("doctor", cls=Command)(doctor.doctor)
commands.command("devices", cls=Command)(devices.devices)
commands.command("profile", cls=Command)(profile.profile)
commands.command("train", cls=Command)(train.train)
commands.command("search", cls=Command)(search.search)
commands.command("retrain", cls=Command)(retrain.retrain)
commands.command("export", cls=Command)(export.export)
commands.command("check", cls=Command)(check.check)
commands.command("rank", cls=Command)(rank.rank)
commands.command("bench", cls=Command)(bench.bench)
commands.command("cost", cls=Command)(cost.cost)
commands.command("draw", cls=Command)(draw.draw)
commands.command("space", cls=Command)(space.space)
commands.command("report", cls=Command)(report.report)
commands.command("paper", cls=Command)(paper.paper)
commands.add_typer(runs.app, name="runs")
commands.add_typer(db.app, name="db")


def _version(shown: bool) -> None:
    if shown:
        from importlib.metadata import version

        console.answer_text(f"nastool {version('nastool')}")
        raise typer.Exit


@commands.callback()
def nastool(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """The options of the program itself."""


def app() -> None:
    """Run `nastool` and exit with its code."""
    run_program(commands)


def run_program(program: typer.Typer) -> NoReturn:
    """Run the command line of a program, and exit with its code."""
    with streams.guarded(), interrupts.handled(_say_stopped):
        code = _run(program)
        if code == 0:
            exit_rank()
    sys.exit(code)


def _run(program: typer.Typer) -> int:
    try:
        _require_working_directory()
        _require_open_files()
        require_valid_environment()
        exit_with_launcher()
        code = _run_command(program)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return _stopped()
    except streams.AnswerLost as problem:
        return BROKEN_PIPE if problem.is_broken_pipe else _fail(str(problem), USER_ERROR)
    except ON_PURPOSE as problem:
        return _fail(str(problem), exit_code(problem), lost=isinstance(problem, RankLost))
    except Exception as problem:
        if text := input_error(problem):
            return _fail(text, USER_ERROR)
        problem.add_note(REPORT)
        raise


def _require_working_directory() -> None:
    try:
        Path.cwd()
    except OSError as problem:
        raise RunFolderError(
            f"cannot use the working directory: {problem.strerror}. Change to a folder that exists (cd)"
        ) from None


def _require_open_files() -> None:
    if problem := too_few():
        raise RunFolderError(f"cannot start: {problem}")


def _run_command(program: typer.Typer) -> int:
    try:
        code = program(standalone_mode=False, prog_name=program.info.name)
    except TyperException as problem:
        text = usage_error(problem)
        return _fail(text, USER_ERROR) if text else USER_ERROR
    except typer.Abort:
        return _fail("not confirmed, so nothing has changed. --yes confirms without a question", 1)
    except SystemExit as ended:  # of a broken pipe, or of a user's module
        if isinstance(ended.code, str):
            return _fail(ended.code, 1)
        code = ended.code
    if code == interrupts.INTERRUPTED:  # typer turns Ctrl-C into this
        return _stopped()
    return code if isinstance(code, int) else 0


def _fail(text: str, code: int, lost: bool = False) -> int:
    console.error(text)
    report_failure(text, code, lost)
    return code


def _stopped() -> int:
    _say_stopped()
    interrupts.end_silently()
    return interrupts.INTERRUPTED


def _say_stopped() -> None:
    console.error("stopped. Nothing is lost: run the same command again to continue")


if __name__ == "__main__":
    app()
