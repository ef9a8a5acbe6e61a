"""Hold-out scores within a training loop: when they are due, and whether the training ends."""

from contextlib import nullcontext

from torch import nn

from toolchain.parallel.collectives import from_first
from toolchain.progress import Progress
from toolchain.training.holdout_scores import HoldoutWatch
from toolchain.training.phases import Phase
from toolchain.training.weight_average import WeightAverage


class Watching:
    """The hold-out scores of one phase of a training; nothing without a `watch`.

    Of several processes, the first scores. The decision to end depends on the scores only, so a training that was
    killed ends at the same step.
    """

    def __init__(self, watch: HoldoutWatch | None, phase: Phase, start: int, steps_per_epoch: float) -> None:
        self._watch, self._phase, self._steps_per_epoch = watch, phase, steps_per_epoch
        self._scores = from_first(lambda: watch.resume(start)) if watch else None
        self.ended = bool(watch and self._scores and watch.stops(self._scores, phase.begin))

    def score(self, model: nn.Module, step: int, average: WeightAverage | None) -> dict[str, float]:
        """Hold-out accuracies by the names of their curves, after `step` updates; empty between evaluations."""
        watch, phase = self._watch, self._phase
        if watch is None or self._scores is None or not watch.due(step, phase.begin, phase.end, self._steps_per_epoch):
            return {}
        before, epoch = self._scores, step / self._steps_per_epoch
        with average.applied() if average else nullcontext():
            self._scores = from_first(lambda: watch.add(before, model, step, epoch))
        model.train()
        self.ended = watch.stops(self._scores, phase.begin)
        return {f"holdout/{name}": value for name, value in self._scores.scores[-1].accuracy.items()}

    def explain(self, title: str, step: int, progress: Progress) -> None:
        """Say why a training ends before its last step."""
        if self.ended and self._watch and step < self._phase.end:
            progress.say(
                f"{title}: the hold-out accuracy is below its best in {self._watch.patience} evaluations, so it ends "
                f"after {step / self._steps_per_epoch:.3g} of {self._phase.end / self._steps_per_epoch:.3g} epochs "
                f"(patience of the recipe)"
            )
