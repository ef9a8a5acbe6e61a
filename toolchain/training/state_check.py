"""Check the tensors of a checkpoint before a network takes them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from toolchain.errors import BadCheckpoint
from toolchain.training.printable import printable
from toolchain.training.sealed_file import REMEDY

MOMENTS = ("momentum_buffer", "exp_avg", "exp_avg_sq")  # of SGD and AdamW


def load_state(path: Path, model: nn.Module, state: Mapping[str, Any]) -> None:
    """Load `state`, which was read from `path`, into `model`.

    Raises:
        BadCheckpoint: a tensor is missing, unknown, of another shape or type, or not finite; nothing was loaded.
    """
    require_state(path, model.state_dict(), state)
    load_values(model, state)


def load_values(model: nn.Module, values: Mapping[str, Tensor]) -> None:
    """Load values for all names of the model.

    The model's own state_dict knows the versions of its modules, which torchvision's MNASNet asks for.
    """
    state = model.state_dict()
    state.update(values)
    model.load_state_dict(state)


def require_state(path: Path, expected: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Check names, shapes, types and finiteness.

    Raises:
        BadCheckpoint: names the first tensor that does not fit.
    """
    for name, tensor in expected.items():
        if name not in state:
            raise BadCheckpoint(f"{printable(path)} does not fit the network: it lacks the tensor {name}. {REMEDY}")
        _require_same_type(path, name, tensor, state[name])
    if unknown := [name for name in state if name not in expected]:
        raise BadCheckpoint(
            f"{printable(path)} does not fit the network: it has a tensor {printable(str(unknown[0]))} that the "
            f"network lacks. {REMEDY}"
        )
    for name, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise BadCheckpoint(
                f"{printable(path)} has weights that are not finite (the tensor {name}): its training diverged. "
                f"Remove it and train again with a lower learning rate"
            )


def require_moments(path: Path, optimizer: torch.optim.Optimizer) -> None:
    """Check the moments that an optimizer has loaded.

    Raises:
        BadCheckpoint: one is of another shape than its weight, or not finite.
    """
    for parameter, state in optimizer.state.items():
        for buffer in (state[name] for name in MOMENTS if state.get(name) is not None):
            if not isinstance(buffer, Tensor) or buffer.shape != parameter.shape or not torch.isfinite(buffer).all():
                raise BadCheckpoint(f"{printable(path)} has a momentum that does not fit its weight. {REMEDY}")


def _require_same_type(path: Path, name: str, expected: Tensor, given: object) -> None:
    if not isinstance(given, Tensor):
        actual = f"is a {type(given).__name__}, not a tensor"
    elif given.shape != expected.shape:
        actual = f"has the shape {tuple(given.shape)}, and the network's {tuple(expected.shape)}"
    elif given.dtype != expected.dtype:
        actual = f"has the type {given.dtype}, and the network's {expected.dtype}"
    else:
        return
    raise BadCheckpoint(f"{printable(path)} does not fit the network: {name} {actual}. {REMEDY}")
