"""Refuse settings that cannot work before a run folder is made and anything is trained."""

import torch

from toolchain.config import Config, TrainConfig
from toolchain.errors import BadConfig
from toolchain.nets.pretrained import load_float
from toolchain.nets.supernet import Supernet
from toolchain.nets.weight_files import read_weights
from toolchain.parallel.ranks import world
from toolchain.spaces.core import SearchSpace
from toolchain.training.precision import compute_device, precision_of
from toolchain.training.recipe import Stage, load_recipe


def check_train(config: Config, space: SearchSpace) -> None:
    """Check the settings of supernet training.

    Raises:
        BadConfig, NoDevice: recipe, batch or precision cannot work.
        BadCheckpoint: the weights to start from do not fit.
    """
    _check_recipe(config.train, "supernet", space)
    if config.train.start_from is not None:
        weights = read_weights(config.train.start_from)
        with torch.device("meta"):  # names and shapes are checked, and no values are kept
            supernet = Supernet(space)
        load_float(weights, supernet)


def check_retrain(config: Config, space: SearchSpace) -> None:
    """Check the settings of training one network and recalibrating its statistics.

    Raises:
        BadConfig, NoDevice: recipe, batch or precision cannot work.
    """
    _check_recipe(config.retrain, "retrain", space)
    require_normalizable(config.search.batch, space, "search")


def require_normalizable(batch: int, space: SearchSpace, table: str) -> None:
    """Batch normalization needs two values per channel; a batch of one has one where maps are of one pixel.

    Args:
        table: the table of nastool.toml that holds the batch.

    Raises:
        BadConfig: the batch is too small for this space.
    """
    if batch == 1 and min(space.stem_px, *(block.out_px for block in space.blocks)) == 1:
        raise BadConfig(
            f"batch normalization needs two values per channel, and a batch of 1 image has one in the 1 x 1 px maps "
            f"of {space.name}. Write batch = 2 or more in [{table}]"
        )


def batch_per_process(batch: int) -> int:
    """The images of each process in a batch that all processes share.

    Raises:
        BadConfig: the parts would differ in size, and their gradients could not simply be added.
    """
    share, rest = divmod(batch, world())
    if rest or not share:
        raise BadConfig(
            f"a batch of {batch} images cannot be shared equally by {world()} processes. Give a batch that can, "
            f"as in [train.changes] batch = {max(1, share) * world()}, or another number of processes"
        )
    return share


def _check_recipe(training: TrainConfig, stage: Stage, space: SearchSpace) -> None:
    table = "retrain.changes" if stage == "retrain" else "train.changes"
    recipe = load_recipe(training.recipe, stage, training.changes)
    batch_per_process(recipe.batch)
    require_normalizable(recipe.batch, space, table)
    precision_of(training.precision, compute_device(training.device), space.quantized)
