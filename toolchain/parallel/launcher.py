"""Runs a nastool command in several processes on this machine, with the launcher of torchrun."""

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from uuid import uuid4

from toolchain.errors import RankFailed
from toolchain.parallel.open_files import NEEDED, too_few
from toolchain.parallel.ranks import LAUNCHED

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
ERROR_FILE = "TORCHELASTIC_ERROR_FILE"  # torchrun sets it for each process, and reads the file when the process fails

OPEN_FILES_PER_RANK = 8  # what the launcher needs for each rank, besides its own


def launch(words: Sequence[str], nproc: int) -> None:
    """Run `nastool WORDS` in `nproc` processes, and wait until all of them succeed.

    Raises:
        RankFailed: a process failed and the others were ended, or the processes cannot be started. It has the message
            and the exit code of the first error.
        KeyboardInterrupt: the user pressed Ctrl-C.
    """
    _require_open_files(nproc)
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous import RendezvousError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    with TemporaryDirectory(prefix="nastool-") as folder:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=nproc,
            run_id=uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="localhost",
            max_restarts=0,
            monitor_interval=0.1,
            logs_specs=DefaultLogsSpecs(log_dir=folder),
        )
        command = ("-P", "-m", "cli.main", *words)  # -P: ignore a folder cli/ in the current folder
        try:
            with _as_launcher():
                elastic_launch(config, sys.executable)(*command)
        except ChildFailedError as ended:
            raise _first_failure(list(ended.failures.values()), nproc) from None
        except SignalException as stopped:
            if stopped.sigval == signal.SIGINT:
                raise KeyboardInterrupt from None
            raise RankFailed(
                f"stopped by {stopped.sigval.name}. Nothing is lost: run the same command again to continue"
            ) from None
        except (OSError, RendezvousError) as problem:
            raise _not_started(problem, nproc) from None


@contextmanager
def _as_launcher() -> Iterator[None]:
    """What the started processes need of this one, without log messages: errors are reported by `launch`."""
    os.environ[LAUNCHED] = str(os.getpid())
    handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    logging.disable()
    try:
        yield
    finally:
        del os.environ[LAUNCHED]
        logging.disable(logging.NOTSET)
        for number, handler in handlers.items():  # torch's launcher does not restore them
            signal.signal(number, handler)


def report_failure(text: str, exit_code: int, lost: bool) -> None:
    """Report the error that ends this process to the launcher, if there is one.

    Args:
        lost: the process only lost contact with another rank, whose error is the cause.
    """
    if path := os.environ.get(ERROR_FILE):
        content = {"message": text, "extraInfo": {"py_callstack": text, "timestamp": str(int(time.time()))}}
        Path(path).write_text(json.dumps({"message": content, "exit_code": exit_code, "lost": lost}), encoding="utf-8")


def _first_failure(failures: "Sequence[ProcessFailure]", nproc: int) -> RankFailed:
    """The first failure that is a cause; ranks that only lost contact with another rank are not."""
    causes = [failure for failure in failures if not failure.error_file_data.get("lost")]
    first = min(causes or failures, key=lambda failure: failure.timestamp)
    if "exit_code" in first.error_file_data:
        return RankFailed(first.error_file_data["message"]["message"], int(first.error_file_data["exit_code"]))
    how = f"with exit code {first.exitcode}"
    if first.exitcode < 0:
        how = f"by {signal.Signals(-first.exitcode).name}"
    return RankFailed(
        f"process {first.local_rank} of {nproc} ended {how}, and the others were ended with it. The run folder is "
        f"intact: run the same command again to continue from the last checkpoint (with any --nproc)"
    )


def _not_started(problem: BaseException, nproc: int) -> RankFailed:
    """The launcher cannot listen on a port or start a process; the innermost error has the reason."""
    while (cause := problem.__cause__ or problem.__context__) is not None:
        problem = cause
    text = str(problem) or type(problem).__name__
    return RankFailed(
        f"cannot start {nproc} processes: {text.splitlines()[0].rstrip('.')}. Run it without --nproc to use one process"
    )


def _require_open_files(nproc: int) -> None:
    """With too few open files, torch waits for a minute before it fails."""
    if problem := too_few(NEEDED + OPEN_FILES_PER_RANK * nproc):
        raise RankFailed(f"cannot start {nproc} processes: {problem}")
