"""TensorBoard: event files in the run, for its trainings. All else is in the run's own files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from toolchain.tracking.event_file import EventFile
from toolchain.tracking.tracker import NO_CURVES, Curves


@dataclass(frozen=True)
class TensorBoard:
    """A `Tracker` with a folder for each training in `folder`."""

    folder: Path

    def training(self, folder: str, name: str, start: int) -> Curves:
        return EventFile(self.folder / folder, start)

    def search(self, budget: str) -> Curves:
        return NO_CURVES

    def settings(self, section: str, values: Mapping[str, object]) -> None:
        pass

    def results(self, name: str, values: Mapping[str, float | None]) -> None:
        pass

    def keep(self, file: Path) -> None:
        pass
