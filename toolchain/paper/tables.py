"""All tables and figures of the paper that can be measured, and the run of one."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from toolchain.paper import figure2, figure3, table1, table3, table4, table5, table6, table7
from toolchain.paper.experiment import Experiment
from toolchain.paper.files import write_result
from toolchain.paper.limits import check_limit, with_limit
from toolchain.paper.presets import Preset, paper_config
from toolchain.paper.request import TableRequest
from toolchain.paper.result import PaperResult
from toolchain.paper.space_check import check_space
from toolchain.progress import Progress
from toolchain.training.fitted_space import with_fitted_space
from toolchain.training.torch_setup import prepare_torch


class Table(Protocol):
    """A module that measures a table or figure."""

    @property
    def PRESETS(self) -> Mapping[str, Preset]:  # noqa: N802 (a constant of the modules)
        """By name: `quick` and `imagenet`."""

    @property
    def measure(self) -> "Measure":
        """Gives the result after each part of the work; the last one is whole."""


class Measure(Protocol):
    """The function of a table."""

    def __call__(self, experiment: Experiment) -> Iterator[PaperResult]: ...


TABLES: Mapping[str, Table] = {
    "table1": table1,
    "table3": table3,
    "table4": table4,
    "table5": table5,
    "table6": table6,
    "table7": table7,
    "figure2": figure2,
    "figure3": figure3,
}


def plan_table(request: TableRequest, progress: Progress) -> Experiment:
    """The experiment of a table.

    Raises:
        BadConfig: the preset is unknown, a value is invalid, or the table needs another limit or space.
    """
    presets = TABLES[request.name].PRESETS
    request = replace(request, flags=with_limit(request.name, request.flags))
    config = with_fitted_space(paper_config(request, presets))
    check_limit(request.name, config.search)
    check_space(request.name, config.space)
    return Experiment(request, config, request.seeds or presets[request.preset].seeds, progress)


def run_table(experiment: Experiment) -> tuple[PaperResult, list[Path]]:
    """Measure a table, write its files as it grows, and return the whole result with the paths of the files.

    Raises:
        UserError: see the table.
    """
    prepare_torch(experiment.config)
    for result in TABLES[experiment.request.name].measure(experiment):
        files = write_result(experiment.config.runs, result)
    return result, files
