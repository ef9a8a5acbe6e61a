"""The experiment trackers of one command, as configured."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from toolchain.config import ArchitectureConfig, Config
from toolchain.config.run_settings import IDENTITY, OF_ONE_SEARCH
from toolchain.parallel.ranks import rank
from toolchain.progress import Progress
from toolchain.runs import SETTINGS, Run, Stage
from toolchain.tracking.mlflow_tracker import MLflow, Status, require_mlflow
from toolchain.tracking.tracker import Tracker

SECTIONS = ("profile", "train", "search", "retrain")
# Limits are in the names of results, recipes are logged whole, and the rest changes no result.
LEFT_OUT = (*OF_ONE_SEARCH, "budgets", "changes", "db", "devices", "checkpoint_every_s", "quiet_timeout_s")


def require_tracker(config: Config) -> None:
    """Check that what the configured tracker needs is installed.

    Raises:
        BadConfig: it is not.
    """
    if config.track == "mlflow":
        require_mlflow()


@contextmanager
def tracked(config: Config, run: Run, progress: Progress, stage: Stage | None = None) -> Iterator[Sequence[Tracker]]:
    """The trackers that a command adds to TensorBoard; they log the settings of its stage, or of all stages for None.

    Of several processes, only the first tracks.

    Raises:
        BadConfig: the tracker is not installed, or refuses its address.
    """
    if config.track != "mlflow" or rank() > 0:
        yield ()
        return
    tracker = MLflow(run.folder, progress)
    content = config.as_dict()
    tracker.settings("", {key: content.get(key) for key in IDENTITY})
    for section in SECTIONS if stage is None else (name for name in SETTINGS[stage] if name in SECTIONS):
        tracker.settings(section, dict(_logged(content[section])))
    status: Status = "FAILED"
    try:
        yield (tracker,)
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        tracker.close(status)


def _logged(section: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The settings of a section that results depend on; of a rival only if one is configured."""
    defaults = ArchitectureConfig().model_dump(mode="json")
    for key, value in section.items():
        if key not in LEFT_OUT and (key, value) != ("architecture", defaults):
            yield key, value
