"""Starts a command of ours in several processes on this machine, with torchrun's own launcher."""

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from uuid import uuid4

from toolchain.errors import RankFailed
from toolchain.parallel.ranks import LAUNCHED

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
ERROR_FILE = "TORCHELASTIC_ERROR_FILE"  # torchrun names it to each process, and reads it when that one has failed


def launch(words: Sequence[str], nproc: int) -> None:
    """Type `nastool WORDS` in `nproc` processes, and wait until all have ended well.

    Raises:
        RankFailed: one of them ended in another way, and the rest were ended with it. It has the text and the exit
            code of the error that came first.
        KeyboardInterrupt: by Ctrl-C.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
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
        os.environ[LAUNCHED] = str(os.getpid())
        handlers = {number: signal.getsignal(number) for number in STOPPING}
        logging.disable()  # what the launcher tells, we tell
        try:
            elastic_launch(config, sys.executable)("-P", "-m", "cli.main", *words)  # -P: a folder cli/ here is not ours
        except ChildFailedError as ended:
            raise _told_by(list(ended.failures.values()), nproc) from None
        except SignalException as stopped:
            if stopped.sigval == signal.SIGINT:
                raise KeyboardInterrupt from None
            raise RankFailed(
                f"stopped by {stopped.sigval.name}. Nothing is lost: type the same again to go on"
            ) from None
        finally:
            del os.environ[LAUNCHED]
            logging.disable(logging.NOTSET)
            for number, handler in handlers.items():  # torchrun's launcher leaves its own
                signal.signal(number, handler)


def leave_word(text: str, exit_code: int, lost: bool) -> None:
    """Write why this process ends to where the launcher looks for it, if there is one.

    `lost` says that it only lost contact with another one, which is then the one to ask.
    """
    if path := os.environ.get(ERROR_FILE):
        content = {"message": text, "extraInfo": {"py_callstack": text, "timestamp": str(int(time.time()))}}
        Path(path).write_text(json.dumps({"message": content, "exit_code": exit_code, "lost": lost}), encoding="utf-8")


def _told_by(failures: "Sequence[ProcessFailure]", nproc: int) -> RankFailed:
    """The cause among several failures: processes that only lost contact with another one are none."""
    causes = [failure for failure in failures if not failure.error_file_data.get("lost")]
    first = min(causes or failures, key=lambda failure: failure.timestamp)
    if "exit_code" in first.error_file_data:
        return RankFailed(first.error_file_data["message"]["message"], int(first.error_file_data["exit_code"]))
    how = f"with exit code {first.exitcode}"
    if first.exitcode < 0:
        how = f"by {signal.Signals(-first.exitcode).name}"
    return RankFailed(
        f"process {first.local_rank} of {nproc} ended {how}, and the others were ended with it. What is in the run "
        f"folder is whole: type the same again, and it goes on from the last checkpoint (with any --nproc)"
    )
