"""Remove a run that no command is using."""

import fcntl
import shutil

from toolchain.errors import RunFolderError, os_error_text
from toolchain.runs import Run


def remove(run: Run) -> None:
    """Delete the folder of a run.

    Raises:
        RunFolderError: a command is using it, or it cannot be deleted.
    """
    try:
        with (run.folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(run.folder)
    except BlockingIOError:
        raise RunFolderError(f"another nastool command is using {run.folder}. Wait until it ends") from None
    except OSError as problem:
        raise RunFolderError(os_error_text("remove", run.folder, problem)) from None
