"""Fashion-MNIST from Debian's package, from torchvision's layout, or downloaded."""

import gzip
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from exporters.files import home_folder
from toolchain.errors import BadData

CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
OURS = Path(".data")
FETCH_SECONDS = 45


def places() -> tuple[Path, ...]:
    """Folders to search; torchvision keeps its files in FashionMNIST/raw."""
    home = home_folder()
    roots = [OURS, Path("data"), *([home / ".cache" / "torchvision"] if home else [])]
    return (DEBIAN, *(root / "FashionMNIST" / "raw" for root in roots))


def find() -> Path | None:
    """The first folder that holds all four files, packed or not."""
    stems = [
        f"{part}-{content}" for part in ("train", "t10k") for content in ("images-idx3-ubyte", "labels-idx1-ubyte")
    ]
    for folder in places():
        if all((folder / stem).exists() or (folder / f"{stem}.gz").exists() for stem in stems):
            return folder
    return None


def fetch() -> Path | None:
    """Try apt (as root) and torchvision's download, each with a time limit; None if both fail."""
    if os.name == "posix" and os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
        for command in (["update"], ["install", "-y", "dataset-fashion-mnist"]):
            try:
                subprocess.run(["apt-get", *command], timeout=FETCH_SECONDS, check=False, **quiet)  # type: ignore[call-overload]
            except subprocess.TimeoutExpired:
                break
        if folder := find():
            return folder
    return _download()


def _download() -> Path | None:
    """torchvision's download, in a separate process because it has no time limit."""
    code = f"from torchvision.datasets import FashionMNIST; FashionMNIST({str(OURS)!r}, download=True)"
    try:
        subprocess.run([sys.executable, "-c", code], timeout=FETCH_SECONDS, capture_output=True, check=False)
    except (subprocess.TimeoutExpired, OSError):
        return None
    return find()


def read(folder: Path, part: str) -> tuple[Tensor, Tensor]:
    """Images uint8 (N, 1, 28, 28) and labels int64 (N,) of `train` or `t10k`.

    Raises:
        BadData: a file is truncated or not in IDX format.
    """
    images = _read_idx(folder / f"{part}-images-idx3-ubyte", header=16)
    labels = _read_idx(folder / f"{part}-labels-idx1-ubyte", header=8)
    return torch.from_numpy(images).unsqueeze(1), torch.from_numpy(labels).long()


def _read_idx(path: Path, header: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    packed = path.with_name(path.name + ".gz")
    try:
        content = path.read_bytes() if path.exists() else gzip.decompress(packed.read_bytes())
        shape = struct.unpack(f">{header // 4 - 1}I", content[4:header])
        return np.frombuffer(content, np.uint8, offset=header).reshape(shape).copy()
    except (OSError, EOFError, ValueError, struct.error) as problem:
        raise BadData(f"cannot read {path}: {problem}. Remove it and fetch the data set again") from None
