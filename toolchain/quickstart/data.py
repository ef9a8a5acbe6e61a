"""The data set of `nastool quickstart`, and the quick preset's amounts for it."""

from toolchain.config import Config
from toolchain.progress import Progress
from toolchain.training import fashion_mnist

# The preset is for Fashion-MNIST; digits has a fortieth of its images, 142 or more a class to train on.
DIGITS_HOLDOUT = 27
DIGITS_EPOCHS = 20  # times those of the preset: less than half of the steps, and enough


def with_data(config: Config, chosen: str | None, progress: Progress) -> Config:
    """The configuration of a quickstart on the data set `chosen`, or on one that is available here if it is None."""
    name = _available_data(progress) if chosen is None else chosen
    config = config.model_copy(update={"data": name})
    return _for_digits(config) if name == "digits" else config


def _available_data(progress: Progress) -> str:
    """`fashion-mnist` if it is on this machine or can be downloaded within seconds, else `digits`."""
    folder = fashion_mnist.find()
    if folder is None:
        progress.say("Fashion-MNIST is not on this machine; downloading it")
        folder = fashion_mnist.fetch()
    progress.say(
        f"data: Fashion-MNIST from {folder}" if folder else "data: digits (Fashion-MNIST is not available here)"
    )
    return "fashion-mnist" if folder else "digits"


def _for_digits(config: Config) -> Config:
    """Few images are seen more often; finalists are trained for enough steps anyway (search/finalists/decide.py)."""
    return config.model_copy(
        update={
            "holdout_per_class": DIGITS_HOLDOUT,
            "train": config.train.model_copy(update={"changes": _longer(config.train.changes)}),
            "retrain": config.retrain.model_copy(update={"changes": _longer(config.retrain.changes)}),
        }
    )


def _longer(changes: dict[str, object]) -> dict[str, object]:
    """The changes of a recipe with more epochs, if they set any."""
    epochs = changes.get("epochs")
    return changes | {"epochs": DIGITS_EPOCHS * epochs} if isinstance(epochs, int | float) else changes
