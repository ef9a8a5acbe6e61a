"""What the stages of a run work with: the configuration, the space, the images, the run folder, the progress."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from toolchain.config import Config
from toolchain.costs.core import TableCost
from toolchain.progress import Progress
from toolchain.runs import Run
from toolchain.spaces.core import SearchSpace
from toolchain.tracking.tensorboard import TensorBoard
from toolchain.tracking.tracker import Tracker, Trackers
from toolchain.training.data import Data


@dataclass(frozen=True)
class Job:
    """The inputs of training, ranking and export. `space` and `data` are those that `config` names, loaded.

    `trackers` are those beside TensorBoard, whose files every run has.
    """

    config: Config
    space: SearchSpace
    data: Data
    run: Run
    progress: Progress
    latency: TableCost | None = None  # of the space; needed only to sample paths by latency
    trackers: Sequence[Tracker] = ()

    @property
    def tracker(self) -> Tracker:
        """All trackers of the run as one."""
        return Trackers((TensorBoard(self.run.folder / "tb"), *self.trackers))

    def of_repeat(self, number: int) -> "Job":
        """The same with the seed and the folder of repeat `number` of a ranking."""
        return self.seeded(self.config.seed + number, self.run.repeat(number))

    def from_scratch(self) -> "Job":
        """The same with networks that start from random weights and learn from the labels."""
        scratch = self.config.retrain.model_copy(update={"start_from": "scratch", "teacher": None})
        return replace(self, config=self.config.model_copy(update={"retrain": scratch}))

    def seeded(self, seed: int, run: Run) -> "Job":
        """The same with another seed and another folder, whose trainings only TensorBoard tracks."""
        return replace(self, config=self.config.model_copy(update={"seed": seed}), run=run, trackers=())
