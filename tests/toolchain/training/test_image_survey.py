"""Class folders are listed once for all settings of a command that follow from them."""

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from toolchain.training.image_survey import SurveyedFolder, SurveyedFolders

Nastool = Callable[..., Any]
SCANS = {"os.scandir", "os.listdir"}


class ScannedFolders:
    """Counts how often a folder is listed, by the audit events of Python."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.active = True
        sys.addaudithook(self._count)  # it cannot be removed

    def _count(self, event: str, args: tuple[Any, ...]) -> None:
        if self.active and event in SCANS and isinstance(args[0], str | Path):
            self.counts[str(args[0])] += 1


@pytest.fixture
def gray(tmp_path: Path) -> Path:
    """Two classes of ten gray images: their number, channels and size decide about a command without a space."""
    for part, first in (("train", 0), ("val", 120)):
        for label, name in enumerate("ab"):
            folder = tmp_path / "gray" / part / name
            folder.mkdir(parents=True)
            for number in range(10):
                Image.new("L", (30, 30), first + 60 * label + number).save(folder / f"{number}.png")
    return tmp_path / "gray"


@pytest.mark.parametrize(
    ("words", "scans"),
    [
        (("init",), 1),
        (("train", "--epochs", "1"), 2),  # loading the data lists what is trained on
    ],
)
def test_a_command_lists_each_class_once_for_its_settings(
    words: tuple[str, ...], scans: int, gray: Path, nastool: Nastool, tmp_path: Path
) -> None:
    scanned = ScannedFolders()
    answer = nastool(*words, "--data", f"folder:{gray}", cwd=tmp_path)
    scanned.active = False
    assert answer.code == 0, answer.stderr
    assert "quick" in answer.stderr
    assert [scanned.counts[str(gray / "train" / name)] for name in "ab"] == [scans, scans]


def test_images_are_counted_as_they_are_trained_on(gray: Path) -> None:
    """Through links to class folders, and without what operating systems leave."""
    train = gray / "train"
    (train / "b").rename(gray / "elsewhere")
    (train / "b").symlink_to(gray / "elsewhere")
    (train / "a" / "@eaDir").mkdir()
    for name in ("a/@eaDir/0.png", "a/._0.png"):
        (train / name).write_bytes(b"a preview")
    (train / "outside.png").write_bytes((train / "a" / "0.png").read_bytes())
    folder = SurveyedFolder(train)
    assert (folder.count(1000), folder.count(15), folder.count(3)) == (20, 15, 3)
    assert folder.survey is not None
    assert (folder.survey.classes, folder.survey.channels, folder.survey.short_side_px) == (2, 1, 30)


def test_a_folder_is_read_again_by_the_next_command(gray: Path) -> None:
    data = f"folder:{gray}"
    folders = SurveyedFolders()
    assert folders.of(data).count(1000) == 20
    (gray / "train" / "a" / "0.png").unlink()
    assert folders.of(data).count(1000) == 20
    assert SurveyedFolders().of(data).count(1000) == 19
    missing = SurveyedFolders().of("folder:nowhere")
    assert (missing.count(1000), missing.survey) == (0, None)
