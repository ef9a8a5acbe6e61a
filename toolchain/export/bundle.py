"""What lies beside a shipped network, so that a service needs nothing of nastool: preprocessing, labels, an example."""

import json
from importlib import resources
from pathlib import Path

from exporters.files import write_whole
from toolchain.export.manifest import PreprocessingRecord
from toolchain.training.data import Data
from toolchain.training.decode import DEFAULT_WHITE
from toolchain.training.decoded.resolution import RESIZE_RATIO
from toolchain.training.images import FolderImages, MemoryImages
from toolchain.training.shard_images import ShardImages

PREPROCESSING, LABELS, EXAMPLE = "preprocessing.json", "labels.txt", "predict.py"


def preprocessing_of(data: Data) -> PreprocessingRecord:
    """From an image file to the input of a network that was trained on `data`."""
    how = data.preprocessing
    from_files = not isinstance(data.train, MemoryImages)
    white = data.train.white if isinstance(data.train, FolderImages | ShardImages) else DEFAULT_WHITE
    return PreprocessingRecord(
        mode="L" if len(how.mean) == 1 else "RGB",
        short_side_px=round(how.size_px * RESIZE_RATIO) if from_files else None,
        size_px=how.size_px,
        white={"I": white.integer, "F": white.real},
        resample="bilinear, as pillow's",
        scale="pixel / 255",
        mean=how.mean,
        std=how.std,
        layout="NCHW float32",
    )


def write_companions(folder: Path, data: Data) -> tuple[Path, ...]:
    """Write them into `folder`; gives their paths.

    Raises:
        OSError: they cannot be written.
    """
    contents = {
        PREPROCESSING: json.dumps(preprocessing_of(data).model_dump(mode="json"), indent=2) + "\n",
        LABELS: "\n".join(data.classes) + "\n",
        EXAMPLE: (resources.files("toolchain") / "templates" / EXAMPLE).read_text(),
    }
    for name, text in contents.items():
        write_whole(folder / name, text.encode())
    return tuple(folder / name for name in contents)
