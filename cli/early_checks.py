"""What can be refused from the arguments alone is refused before torch is imported, which takes seconds."""

from typing import TYPE_CHECKING

from cli import console

if TYPE_CHECKING:
    from toolchain.config import Config


def check_arguments(config: "Config", of_run: bool = False) -> None:
    """Check the limits' units, the name of the space and that a data set is named, and say what the command works on.

    Args:
        of_run: the command continues a run, which names the data set where neither flag nor file does.

    Raises:
        MissingStage: no data set is named, and the run that would name one does not exist.
        BadUnit: a limit is no amount with a unit.
        UnknownSpace, BadArchitecture: the space or an option of it is unknown.
        BadConfig: no data set is named, or the experiment tracker is not installed.
    """
    from toolchain.overview.compare import existing_run
    from toolchain.search.limits import read_limits
    from toolchain.tracking.tracked import require_tracker

    read_limits(config.search)
    _check_space(config)
    require_tracker(config)
    if of_run and config.data is None:
        existing_run(config.runs, config.run)
    console.say(f"run {config.run}: {config.data_name()}, {config.space}")


def check_table(config: "Config") -> None:
    """Check that there is a latency table where a limit on latency needs one.

    Raises:
        MissingOutput: there is none.
    """
    from latency_db.where import exists, shown
    from toolchain.costs.regression import REGRESSION
    from toolchain.errors import MissingOutput

    profile = config.profile
    imported = profile.target is not None or profile.backend == REGRESSION  # nastool profile would not help
    if config.search.latency and not imported and not exists(profile.db):
        raise MissingOutput(f"the latency table {shown(profile.db)}", "profile", config.run)


def _check_space(config: "Config") -> None:
    """A built-in space; one from a file or a model may import torch itself."""
    from toolchain.spaces import load_space

    if not config.space.partition(":")[0].endswith((".py", "model")):
        load_space(config.space, config.fixed_ops, config.widths)
