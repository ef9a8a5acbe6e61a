"""Refuse settings that cannot work before a run folder is made and anything is trained."""

from pathlib import Path

from toolchain.config import Config, SupernetConfig, TrainConfig
from toolchain.errors import BadConfig
from toolchain.nets.model_space.weights import builder_of_model
from toolchain.nets.start_weights import check_start
from toolchain.nets.weight_files import read_weights
from toolchain.parallel.ranks import world
from toolchain.spaces.core import SearchSpace
from toolchain.training.precision import compute_device, precision_of
from toolchain.training.recipe import Stage, load_recipe
from toolchain.training.taylor import require_trained


def check_train(config: Config, space: SearchSpace) -> None:
    """Check the settings of supernet training.

    Raises:
        BadConfig, NoDevice: recipe, batch, precision or importance cannot work.
        BadCheckpoint: the weights to start from do not fit.
    """
    training = config.train
    _check_recipe(training, "supernet", space)
    notes = () if training.start_from is None else check_start(read_weights(training.start_from), space)
    check_importance(training, space)
    if training.importance == "taylor":
        require_trained(space, notes)


def check_importance(training: SupernetConfig, space: SearchSpace) -> None:
    """Check that the channels of the space can be sorted as configured.

    Raises:
        BadConfig: there are no trained channels, or some of them are removed first.
    """
    if training.importance == "magnitude":
        return
    builder = builder_of_model(space)
    if builder is None or training.start_from is None:
        raise BadConfig(
            f"the importance {training.importance} sorts the channels of a trained model. Give a space model:SOURCE "
            f"and its weights, --from FILE, or leave out --importance"
        )
    if builder.narrowing is not None:
        raise BadConfig(
            f"the importance {training.importance} is that of channels in a trained model, and between removes some "
            f"of them first. Leave out one of both"
        )


def check_retrain(config: Config, space: SearchSpace) -> None:
    """Check the settings of training one network and recalibrating its statistics.

    Raises:
        BadConfig, NoDevice: recipe, batch or precision cannot work.
        BadCheckpoint: the file to start from has no weights.
    """
    _check_recipe(config.retrain, "retrain", space)
    if config.retrain.start_from not in ("scratch", "supernet"):
        read_weights(Path(config.retrain.start_from))
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
