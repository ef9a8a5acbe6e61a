"""The frame of all tables and figures: a configuration and seeds, whose jobs are stages in run folders.

Each stage is the function that a user's command calls, on an ordinary run folder: it resumes from its files, so
a table that was killed continues when its command is repeated.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import psutil

from exporters.agent.machine import conditions
from exporters.devices.attached import attached
from toolchain.config import Config
from toolchain.config.reading import config_of
from toolchain.nets.checked_space import configured_space
from toolchain.paper.known_supernets import take_known_supernet
from toolchain.paper.request import TableRequest
from toolchain.paper.result import PaperResult
from toolchain.progress import Progress
from toolchain.runs import open_run, run_of
from toolchain.search.budget import training_latency
from toolchain.search.plan import plan_search
from toolchain.search.search import SearchResult
from toolchain.search.search import search as run_search
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.training.data import Data, configured_data
from toolchain.training.job import Job
from toolchain.training.retrained import Retrained
from toolchain.training.retraining import retrain as run_retrain
from toolchain.training.supernet_training import Trained, train_supernet
from toolchain.units import parse_count

Changes = Mapping[str, object]
NOTHING: Changes = {}


@dataclass(frozen=True)
class Experiment:
    """A table or figure at a preset.

    Args:
        config: of all jobs; `runs` is the folder of the table.
        seeds: each job is repeated with each of them, in separate runs.
    """

    request: TableRequest
    config: Config
    seeds: tuple[int, ...]
    progress: Progress
    _data: dict[tuple[object, ...], Data] = field(default_factory=dict, repr=False)

    @property
    def space(self) -> SearchSpace:
        """The space of the configuration."""
        return configured_space(self.config)

    @property
    def macs_limit(self) -> int:
        """The limit on MACs of all networks of a table.

        Raises:
            BadUnit: it is no amount.
        """
        return parse_count(self.config.search.macs[0], "macs")

    @property
    def machine(self) -> str:
        """The device that trains, and the number of its cores."""
        device = attached()[-1] if self.config.train.device != "cpu" else attached()[0]
        return f"{device.model}, {device.cores} cores"

    @property
    def load(self) -> str:
        """How busy the machine is, for tables with times."""
        return f"load of the machine {conditions()['load_1min']}, with {psutil.cpu_count()} cores"

    def job(self, run: str, seed: int, changes: Changes = NOTHING) -> Job:
        """The job of the run `RUN-seed0` in the folder of the table.

        Args:
            changes: of the configuration, by dotted key.

        Raises:
            UserError: a value is invalid, or the data set cannot be loaded.
        """
        flags = {"run": f"{run}-seed{seed}", "seed": seed, **changes}
        config = config_of(self.config.as_dict(), flags, f"the preset {self.request.preset}")
        space = configured_space(config)
        return Job(config, space, self._load(config, space), run_of(config), self.progress)

    def result(self, **content: Any) -> PaperResult:
        """A result of this experiment with `content`, the other fields of `PaperResult`."""
        about: dict[str, Any] = {
            "name": self.request.name,
            "preset": self.request.preset,
            "command": self.request.command,
            "space": self.config.space,
            "data": self.config.data_name(),
        }
        return PaperResult(**about, machine=self.machine, **content)

    def _load(self, config: Config, space: SearchSpace) -> Data:
        """The images, which jobs of the same seed and image size share."""
        key = (config.data, config.holdout_per_class, config.seed, space.input_shape, space.classes)
        if key not in self._data:
            self._data.clear()  # those of one seed at a time
            self._data[key] = configured_data(config, space, self.progress, "supernet", "retrain")
        return self._data[key]


def train(job: Job) -> Trained:
    """Train the supernet, as `nastool train`, unless another run of a table has.

    Raises:
        MissingLatency: the training needs latencies, and the space was not profiled on the target.
    """
    job = replace(job, latency=training_latency(job.config, job.space))
    with open_run(job.config, make=True, stage="train"):
        take_known_supernet(job)
        return train_supernet(job)


def search(job: Job) -> SearchResult:
    """Search within the limits of the configuration, as `nastool search`.

    Raises:
        BudgetInfeasible: no network is within them.
    """
    plan = plan_search(job.config, job.space)
    with open_run(job.config, stage="search"):
        return run_search(job, plan)


def retrain(job: Job, arch: Architecture) -> Retrained:
    """Train a network alone and test it, as `nastool retrain --arch`."""
    job.progress.say(f"{job.run.folder}: retrain {arch}")
    with open_run(job.config, make=True, stage="retrain"):
        return run_retrain(job, arch)
