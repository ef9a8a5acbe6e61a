"""Train the supernet, and one architecture from scratch."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from toolchain.config import Config, TrainConfig
from toolchain.errors import BadCheckpoint
from toolchain.files import write_document
from toolchain.nets.blocks import STANDALONE, SUPERNET, shared_by
from toolchain.nets.compiled import compile_parts
from toolchain.nets.depthwise import accelerate_depthwise
from toolchain.nets.network import Network, initialize
from toolchain.nets.pretrained import load_float
from toolchain.nets.supernet import Slices, Supernet
from toolchain.nets.weight_files import read_weights
from toolchain.parallel.collectives import from_first
from toolchain.parallel.ranks import local_world, rank, world
from toolchain.progress import Progress
from toolchain.runs import Run
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.training.accuracy import accuracy_over_ranks, recalibration_batches
from toolchain.training.batches import mix
from toolchain.training.checkpoint import file_hash, load, reading, require_fields, require_same
from toolchain.training.data import Data
from toolchain.training.loop import Schedule, train
from toolchain.training.paths import path_sampler
from toolchain.training.precision import compute_device, precision_of
from toolchain.training.preflight import require_normalizable
from toolchain.training.printable import printable
from toolchain.training.recalibrate import average_statistics, recalibrate
from toolchain.training.recipe import Recipe, Stage, load_recipe
from toolchain.training.retrained import Retrained, read_retrained
from toolchain.training.sealed_file import load_sealed, save_sealed
from toolchain.training.state_check import load_state

Model = TypeVar("Model", bound=nn.Module)

SCORED_ON = ("space_digest", "training_images", "holdout_per_class", "seed")  # the seed draws the hold-out
SAMPLERS_OF_0_1_0 = {"constraint": "levels"}  # the fingerprints of checkpoints keep the older name
RECALIBRATION_IMAGES = 20_000  # after retraining, as for candidates in the paper


@dataclass(frozen=True)
class Trained:
    """The result of supernet training."""

    checkpoint: Path
    steps: int


def train_supernet(config: Config, space: SearchSpace, data: Data, run: Run, progress: Progress) -> Trained:
    """Train the supernet, one sampled path per step (paper Eq. 7), and write its checkpoint.

    Raises:
        BadCheckpoint, BadData, RunFolderError: see `loop.train`; or the weights to start from do not fit.
    """
    device = compute_device(config.train.device)
    supernet = Supernet(space, shared_by(SUPERNET, world()))
    initialize(supernet, torch.Generator().manual_seed(config.seed))
    if config.train.start_from is not None:
        load_float(read_weights(config.train.start_from), supernet)
    _placed(supernet, device)
    _speed_up(supernet, device, config.train)
    draw = path_sampler(config.train.sampler, space)

    def forward(images: Tensor, step: int) -> tuple[Tensor, Mapping[nn.Parameter, Slices]]:
        arch = draw(Random(mix(config.seed, step)))
        return supernet(images, arch), supernet.slices(arch)

    recipe = load_recipe(config.train.recipe, "supernet", config.train.changes)
    steps = train(
        supernet,
        forward,
        data,
        recipe,
        _schedule(config, config.train, space, device, run.supernet, run.tensorboard("supernet")),
        supernet_fingerprint(config, space, data),
        progress,
        "train supernet",
    )
    return Trained(run.supernet, steps)


def load_supernet(config: Config, space: SearchSpace, data: Data, run: Run, progress: Progress) -> Supernet:
    """Load the trained supernet. Its recipe may differ from the configuration; space, data and seed must not.

    Raises:
        MissingStage: there is none.
        BadCheckpoint: it is damaged, or made from another space, data set or hold-out.
        BadConfig: candidates cannot be recalibrated with the batch of the search.
    """
    run.require(run.supernet, "train")
    require_normalizable(config.search.batch, space, "search")
    fingerprint = supernet_fingerprint(config, space, data)
    checkpoint = load(run.supernet, fingerprint, only=SCORED_ON)
    with reading(run.supernet):
        steps = Recipe(**checkpoint.fingerprint["recipe"]).steps(len(data.fit))
    if checkpoint.step < steps:
        progress.say(
            f"this supernet is trained to step {checkpoint.step} of {steps}. nastool train continues it; a search "
            f"after that starts again"
        )
    supernet = Supernet(space)
    load_state(run.supernet, supernet, checkpoint.model)
    return _placed(supernet, compute_device(config.train.device))


def retrain(
    config: Config, space: SearchSpace, arch: Architecture, data: Data, run: Run, progress: Progress
) -> Retrained:
    """Train `arch` from scratch, recalibrate its BN statistics, and evaluate it on the test images, once.

    A finished training is not repeated; where hold-out or test images have changed since, only the evaluation is.

    Returns:
        the content of result.json: architecture, test accuracy, hold-out accuracy, steps.

    Raises:
        BadCheckpoint, BadData, RunFolderError: see `loop.train`.
        TrainingDiverged: the loss or the weights are not finite.
    """
    fingerprint = _fingerprint(config, space, data, config.retrain, "retrain") | {"architecture": list(arch.choices)}
    evaluated_on = {"holdout_images": data.digests.holdout, "test_images": data.digests.test}
    folder = run.retrain(arch)
    earlier = from_first(lambda: _earlier_result(run, folder / "result.json", fingerprint))
    if earlier is not None and earlier.evaluated_on == evaluated_on:
        return earlier
    device = compute_device(config.retrain.device)
    if earlier is None:
        trained, steps = _train_alone(config, space, arch, data, run, fingerprint, progress)
    else:
        progress.say("this network is trained; hold-out or test images have changed, so it is evaluated again")
        trained = _placed(from_first(lambda: load_retrained(space, arch, data, run)), device)
        steps = earlier.steps
    batch = config.search.batch
    result = Retrained(
        architecture=arch.choices,
        space=space.name,
        test_accuracy=accuracy_over_ranks(
            trained, data.test, tuple(range(len(data.test.labels))), batch, data.preprocessing
        ),
        holdout_accuracy=accuracy_over_ranks(trained, data.train, data.holdout, batch, data.preprocessing),
        steps=steps,
        fingerprint=fingerprint,
        evaluated_on=evaluated_on,
    )
    if rank() == 0:
        if earlier is None:
            save_sealed(folder / "best.pt", {"fingerprint": fingerprint, "model": trained.state_dict()})
        write_document(folder / "result.json", result)
    return result


def _earlier_result(run: Run, path: Path, fingerprint: Mapping[str, Any]) -> Retrained | None:
    """The result of a finished training with the same settings."""
    if not path.exists():
        return None
    result = read_retrained(path)
    require_same(path, result.fingerprint, fingerprint)
    return result


def _train_alone(
    config: Config,
    space: SearchSpace,
    arch: Architecture,
    data: Data,
    run: Run,
    fingerprint: Mapping[str, Any],
    progress: Progress,
) -> tuple[Network, int]:
    """`arch` after training and recalibration, and the number of steps."""
    folder = run.retrain(arch)
    device = compute_device(config.retrain.device)
    net = Network(space, arch, shared_by(STANDALONE, world()))
    initialize(net, torch.Generator().manual_seed(config.seed))
    _placed(net, device)
    _speed_up(net, device, config.retrain)

    def forward(images: Tensor, step: int) -> tuple[Tensor, Mapping[nn.Parameter, Slices]]:
        return net(images), {}

    recipe: Recipe = load_recipe(config.retrain.recipe, "retrain", config.retrain.changes)
    curves = run.tensorboard(f"retrain-{folder.name}")
    schedule = _schedule(config, config.retrain, space, device, folder / "checkpoint.pt", curves)
    steps = train(net, forward, data, recipe, schedule, fingerprint, progress, "retrain")
    trained = _placed(Network(space, arch, STANDALONE), device)  # its statistics are those of a process's own batches
    trained.load_state_dict(net.state_dict())
    recalibrate(
        trained,
        recalibration_batches(data, RECALIBRATION_IMAGES, config.search.batch, config.seed, spread=True),
        data.preprocessing,
    )
    average_statistics(trained)
    return trained, steps


def load_retrained(space: SearchSpace, arch: Architecture, data: Data, run: Run) -> Network:
    """The retrained `arch`, in eval mode.

    Raises:
        MissingStage: it was not retrained.
        BadCheckpoint: the file is damaged, or of another space or data set.
    """
    path = run.retrain(arch) / "best.pt"
    run.require(path, "retrain")
    content = require_fields(path, load_sealed(path), {"fingerprint": dict, "model": dict})
    fingerprint = content["fingerprint"]
    if fingerprint.get("space_digest") != space.digest:
        named = printable(str(fingerprint.get("space")))
        raise BadCheckpoint(f"{path} is a network of the space {named}, not of {space.name}. Give --space {named}")
    if fingerprint.get("training_images") != data.digests.training:
        named = printable(str(fingerprint.get("data")))
        raise BadCheckpoint(
            f"{path} was trained on {named}; {data.name} has other training images. Give --data {named}, or retrain"
        )
    net = Network(space, arch, STANDALONE)
    load_state(path, net, content["model"])
    return net.eval()


def supernet_fingerprint(config: Config, space: SearchSpace, data: Data) -> dict[str, Any]:
    """What the weights of a supernet depend on; training continues only if all of it is the same."""
    start = config.train.start_from
    return _fingerprint(config, space, data, config.train, "supernet") | {
        "sampler": SAMPLERS_OF_0_1_0.get(config.train.sampler, config.train.sampler),
        "start_from": None if start is None else file_hash(start),
    }


def prepare_torch(config: Config) -> None:
    """Set the number of CPU threads, which sums depend on. The processes of one machine share them."""
    torch.set_num_threads(max(1, config.threads // local_world()))


def scoring_threads(config: Config) -> int:
    """CPU threads of this process for scoring candidates; the processes of one machine share them."""
    return max(1, config.search.threads // local_world())


def _placed(model: Model, device: torch.device) -> Model:
    """`model` on the device with weights in channels_last: 1.4 times faster on CPUs (docs/decisions)."""
    placed: Model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return placed


def _speed_up(model: nn.Module, device: torch.device, training: TrainConfig) -> None:
    """Speed up training steps; only rounding changes."""
    if training.compile:
        compile_parts(model)
    elif device.type == "cpu":
        accelerate_depthwise(model)


def _fingerprint(config: Config, space: SearchSpace, data: Data, training: TrainConfig, stage: Stage) -> dict[str, Any]:
    return {
        "space": space.name,
        "space_digest": space.digest,
        "data": data.name,
        "training_images": data.digests.training,
        "holdout_per_class": config.holdout_per_class,
        "seed": config.seed,
        "recipe": load_recipe(training.recipe, stage, training.changes).model_dump(),
    }


def _schedule(
    config: Config, training: TrainConfig, space: SearchSpace, device: torch.device, checkpoint: Path, tensorboard: Path
) -> Schedule:
    precision = precision_of(training.precision, device, space.quantized)
    changes = "retrain.changes" if training is config.retrain else "train.changes"
    return Schedule(
        checkpoint, tensorboard, training.checkpoint_every_s, config.workers, config.seed, precision, changes
    )
