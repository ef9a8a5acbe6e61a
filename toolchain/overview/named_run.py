"""The run that `nastool report` was asked about."""

from pathlib import Path

from toolchain.overview.compare import existing_run
from toolchain.runs import Run


def named_run(runs: Path, name: str) -> Run:
    """The run `name` in the folder `runs`, or the run in the folder `name`.

    Raises:
        MissingStage: there is no such run; the message names those that exist.
    """
    folder = Path(name)
    return Run(folder) if (folder / "config.toml").is_file() else existing_run(runs, name)
