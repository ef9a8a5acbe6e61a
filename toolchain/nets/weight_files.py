"""Read weights that another program saved with `torch.save`, and say what a file is if it has no such weights."""

import argparse
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from exporters.placeholders import HEAD_BYTES, placeholder
from toolchain.errors import BadCheckpoint
from toolchain.spaces.user_file import printable_path

# Keys under which training programs keep the weights, and then those of their moving average.
WRAPPERS = ("state_dict", "model", "model_state_dict", "net", "network", "weights", "params")
AVERAGED = ("state_dict_ema", "model_ema", "ema", "params_ema")
# Of DistributedDataParallel, torch.compile, and the attributes that hold a network in Lightning and similar programs.
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.")
HOW_TO_SAVE = "Save the weights with torch.save(model.state_dict(), 'weights.pt') and give that file"
SIGNATURES = {  # first bytes of a file -> what it is and what to do
    b"\x89HDF": f"is an HDF5 file, not PyTorch weights. {HOW_TO_SAVE}",
    b"\x1f\x8b": "is a gzip archive. Unpack it and give the file of weights inside",
    b"BZh": "is a bzip2 archive. Unpack it and give the file of weights inside",
    b"\xfd7zXZ": "is an xz archive. Unpack it and give the file of weights inside",
    b"\x93NUMPY": f"is a NumPy array, not PyTorch weights. {HOW_TO_SAVE}",
    b"{": "is a JSON file, not weights. Give the file of weights itself; merge the files that an index lists",
    b"GGUF": f"is a GGUF file, not PyTorch weights. {HOW_TO_SAVE}",
}


def read_weights(path: Path) -> Mapping[str, Tensor]:
    """The weights in `path` by parameter name.

    A state_dict is also read from a checkpoint under one of the keys `WRAPPERS`, or `AVERAGED` where there is none of
    those, and the `PREFIXES` that all names share are removed.

    Raises:
        BadCheckpoint: the file is missing, damaged or of another format, or it contains no state_dict.
    """
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):  # opening a pipe may never end
            raise ValueError("it is a pipe, socket or device")
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except (OSError, ValueError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) and problem.strerror else problem
        raise BadCheckpoint(
            f"cannot read the weights {printable_path(path)}: {reason}. Give a file of weights"
        ) from None
    if format_ := _other_format(path, head):
        raise BadCheckpoint(f"{printable_path(path)} {format_}")
    return _without_prefix(_state_dict(path, _load(path)))


def _other_format(path: Path, head: bytes) -> str:
    """What a file is that cannot be PyTorch weights; empty if it may be."""
    if not head:
        return "is empty. Copy or download the weights again"
    for signature, text in SIGNATURES.items():
        if head.startswith(signature):
            return text
    if stand_in := placeholder(head, "weights"):
        return stand_in
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        return (
            "is a safetensors file. Convert it with torch.save(safetensors.torch.load_file(FILE), 'weights.pt') "
            "and give that file"
        )
    if head.startswith(b"PK"):
        return _other_archive(path)
    return ""


def _other_archive(path: Path) -> str:
    """What a ZIP archive is that `torch.save` did not write; empty if it did."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return "is a damaged or truncated ZIP archive. Copy or download the weights again"
    if any(re.match(r"[^/]+/code/", name) for name in names):
        return f"is a TorchScript archive, not a state_dict. {HOW_TO_SAVE}"
    if not any(name.endswith("data.pkl") for name in names):
        return "is a ZIP archive without PyTorch weights. Give the file of weights itself"
    return ""


def _load(path: Path) -> object:
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):  # many training programs save their arguments
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as problem:
        if classes := re.findall(r"(?:GLOBAL|global|class) ([\w.]+\.[\w.]+)", str(problem)):
            raise BadCheckpoint(
                f"{printable_path(path)} contains Python objects ({classes[0]}) beside tensors, and loading them could "
                f"run any code. {HOW_TO_SAVE}"
            ) from None
        raise BadCheckpoint(_unreadable(path)) from None
    except MemoryError:
        raise BadCheckpoint(f"not enough memory to load the weights {printable_path(path)}. Free some memory") from None
    except Exception:  # torch documents no set of errors for a damaged file
        raise BadCheckpoint(_unreadable(path)) from None


def _unreadable(path: Path) -> str:
    return f"{printable_path(path)} is not a file of PyTorch weights, or it is damaged. {HOW_TO_SAVE}"


def _state_dict(path: Path, content: object) -> Mapping[str, Tensor]:
    """The mapping of names to tensors in `content` or under one of `WRAPPERS`."""
    while isinstance(content, Mapping):
        if content and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items()):
            return content
        inner = next((content[key] for key in (*WRAPPERS, *AVERAGED) if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            break
        content = inner
    if isinstance(content, Mapping):
        keys = ", ".join(ascii(key) for key in list(content)[:5])
        contains = f"a mapping with the keys {keys}" if content else "an empty mapping"
    else:
        contains = f"a {type(content).__name__}"
    raise BadCheckpoint(f"{printable_path(path)} contains {contains}, not a state_dict. {HOW_TO_SAVE}")


def _without_prefix(weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The weights without the prefixes that all names share, in any order of nesting."""
    while shared := next((prefix for prefix in PREFIXES if all(name.startswith(prefix) for name in weights)), None):
        weights = {name.removeprefix(shared): value for name, value in weights.items()}
    return weights
