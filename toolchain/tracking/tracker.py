"""The Protocol of experiment trackers: TensorBoard, which every run has, and those that `--track` adds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class Curves(Protocol):
    """Curves that grow while a command runs."""

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """One point of each curve, by the name of the curve.

        Raises:
            RunFolderError: a file of the run cannot be written.
        """


class OpenCurves(Protocol):
    """Opens the curves of a training that goes on from step `start`."""

    def __call__(self, start: int) -> Curves: ...


class Tracker(Protocol):
    """Receives what a run does. A tracker never ends a training because its server does not answer."""

    def training(self, folder: str, name: str, start: int) -> Curves:
        """The curves of one training.

        Args:
            folder: unique in the run, as `retrain-1a2b3c4d`.
            name: the same in every run that trains for the same purpose, as `retrain/latency_17ms`.
            start: step that the training goes on from; earlier points from there on are replaced.
        """

    def search(self, budget: str) -> Curves:
        """The curves of a search; a step is a generation."""

    def settings(self, section: str, values: Mapping[str, object]) -> None:
        """Settings of one section of the configuration, nested or not."""

    def results(self, name: str, values: Mapping[str, float | None]) -> None:
        """Final figures of `name`; those that are None are unknown."""

    def keep(self, file: Path) -> None:
        """Keep a copy of a small file of the run."""


class NoCurves:
    """`Curves` that are not drawn."""

    def add(self, step: int, values: Mapping[str, float]) -> None:
        pass


@dataclass(frozen=True)
class _All:
    """Several curves as one."""

    curves: Sequence[Curves]

    def add(self, step: int, values: Mapping[str, float]) -> None:
        for part in self.curves:
            part.add(step, values)


@dataclass(frozen=True)
class Trackers:
    """Several trackers as one."""

    trackers: Sequence[Tracker]

    def training(self, folder: str, name: str, start: int) -> Curves:
        return _All([part.training(folder, name, start) for part in self.trackers])

    def search(self, budget: str) -> Curves:
        return _All([part.search(budget) for part in self.trackers])

    def settings(self, section: str, values: Mapping[str, object]) -> None:
        for part in self.trackers:
            part.settings(section, values)

    def results(self, name: str, values: Mapping[str, float | None]) -> None:
        for part in self.trackers:
            part.results(name, values)

    def keep(self, file: Path) -> None:
        for part in self.trackers:
            part.keep(file)


NO_CURVES: Curves = NoCurves()
NO_TRACKER: Tracker = Trackers(())
