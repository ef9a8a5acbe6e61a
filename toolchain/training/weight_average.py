"""The moving average of a model's weights, which a training may end with."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from toolchain.training.state_check import require_state

WARMUP = 10  # updates: the first averages follow the weights closely, as in TensorFlow and timm


class WeightAverage:
    """An exponential moving average of all parameters.

    Buffers are not averaged: statistics of batch normalization are recalibrated after a training.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._model = dict(model.named_parameters())
        self._average = {name: parameter.detach().clone() for name, parameter in self._model.items()}
        self._decay = decay

    def update(self, step: int) -> None:
        """Add the weights after `step` updates; the first average of a training has few of them to take a mean of."""
        decay = min(self._decay, (1 + step) / (WARMUP + step))
        average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        average(list(self._average.values()), list(self._model.values()), None)

    @torch.no_grad()
    def apply(self) -> None:
        """Replace the weights of the model by their average."""
        for name, parameter in self._model.items():
            parameter.copy_(self._average[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model with its average, until this ends."""
        own = {name: parameter.detach().clone() for name, parameter in self._model.items()}
        self.apply()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, parameter in self._model.items():
                    parameter.copy_(own[name])

    def state_dict(self) -> dict[str, Tensor]:
        return dict(self._average)

    def load(self, path: Path, state: Mapping[str, Any]) -> None:
        """Continue with `state`, which was read from `path`.

        Raises:
            BadCheckpoint: a tensor is missing, unknown, of another shape or type, or not finite.
        """
        require_state(path, self._average, state)
        for name, average in self._average.items():
            average.copy_(state[name])
