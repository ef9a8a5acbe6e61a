"""Names of data sets, and what is wrong with one before anything is loaded."""

from pathlib import Path

from toolchain.errors import BadData
from toolchain.training.class_folders import class_folders
from toolchain.training.shard_names import ShardedData
from toolchain.training.user_path import expanded

FOLDER, SHARDS = "folder:", "wds:"
BUILT_IN = ("digits", "fashion-mnist")
NAMES = (*BUILT_IN, "folder:PATH", "wds:TRAIN_SHARDS;TEST_SHARDS")


def require_data(name: str) -> None:
    """Check the name of a data set, and that a folder of training images has class folders.

    Raises:
        BadData: it has none, or the name is not that of a data set.
    """
    if name.startswith(FOLDER):
        class_folders(root_of(name) / "train")
    elif name.startswith(SHARDS):
        ShardedData.parse(name.removeprefix(SHARDS))
    elif name not in BUILT_IN:
        raise unknown_data(name)


def root_of(name: str) -> Path:
    """The folder of `folder:PATH`.

    Raises:
        BadData: there is no path.
    """
    path = name.removeprefix(FOLDER)
    if not path.strip():
        raise BadData(f"{name!r} names no folder. Write folder:PATH, with PATH/train/CLASS/ and PATH/val/CLASS/")
    return expanded(path)


def unknown_data(name: str) -> BadData:
    """The error for a name that no data set has."""
    if Path(name).is_dir():
        return BadData(f"unknown data set {name!r}. For this folder, write folder:{name}")
    return BadData(f"unknown data set {name!r}. Known: {', '.join(NAMES)}")
