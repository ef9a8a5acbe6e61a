"""Train one architecture from scratch, and evaluate it."""

from pathlib import Path

import torch

from toolchain.files import write_document
from toolchain.nets.blocks import STANDALONE, shared_by
from toolchain.nets.network import Network, initialize
from toolchain.parallel.collectives import from_first
from toolchain.parallel.ranks import rank, world
from toolchain.spaces.core import Architecture
from toolchain.training.accuracy import accuracy_over_ranks, recalibration_batches
from toolchain.training.fingerprint import retrain_fingerprint
from toolchain.training.job import Job
from toolchain.training.loop import TrainingSettings, train
from toolchain.training.passes import Pass, Passes
from toolchain.training.precision import compute_device
from toolchain.training.recalibrate import average_statistics, recalibrate
from toolchain.training.recipe import load_recipe
from toolchain.training.retrained import Retrained, load_retrained, read_retrained
from toolchain.training.sealed_file import save_sealed
from toolchain.training.stored_fingerprint import StoredFingerprint, require_same
from toolchain.training.torch_setup import place, place_for_training

RECALIBRATION_IMAGES = 20_000  # after retraining, as for candidates in the paper


def retrain(job: Job, arch: Architecture) -> Retrained:
    """Train `arch` from scratch, recalibrate its BN statistics, and evaluate it on the test images, once.

    A finished training is not repeated; where hold-out or test images have changed since, only the evaluation is.

    Returns:
        the content of result.json: architecture, test accuracy, hold-out accuracy, steps.

    Raises:
        BadCheckpoint, BadData, RunFolderError: see `loop.train`.
        TrainingDiverged: the loss or the weights are not finite.
    """
    fingerprint = retrain_fingerprint(job, arch).stored()
    folder = job.run.retrain(arch)
    earlier = from_first(lambda: _earlier_result(folder / "result.json", fingerprint))
    if earlier is not None and earlier.evaluated_on == _evaluated_on(job):
        return earlier
    if earlier is None:
        net, steps = train_alone(job, arch, fingerprint)
    else:
        job.progress.say("this network is trained; hold-out or test images have changed, so it is evaluated again")
        trained = from_first(lambda: load_retrained(job.space, arch, job.data, job.run))
        net, steps = place(trained, compute_device(job.config.retrain.device)), earlier.steps
    result = _evaluate(job, net, arch, fingerprint, steps)
    if rank() == 0:
        if earlier is None:
            save_sealed(folder / "best.pt", {"fingerprint": fingerprint, "model": net.state_dict()})
        write_document(folder / "result.json", result)
    return result


def _evaluated_on(job: Job) -> dict[str, str]:
    return {"holdout_images": job.data.digests.holdout, "test_images": job.data.digests.test}


def _earlier_result(path: Path, fingerprint: StoredFingerprint) -> Retrained | None:
    """The result of a finished training with the same settings."""
    if not path.exists():
        return None
    result = read_retrained(path)
    require_same(path, result.fingerprint, fingerprint)
    return result


def train_alone(job: Job, arch: Architecture, fingerprint: StoredFingerprint) -> tuple[Network, int]:
    """`arch` after training and recalibration, and the number of steps."""
    training, folder = job.config.retrain, job.run.retrain(arch)
    net = Network(job.space, arch, shared_by(STANDALONE, world()))
    initialize(net, torch.Generator().manual_seed(job.config.seed))
    place_for_training(net, compute_device(training.device), training)

    recipe = load_recipe(training.recipe, "retrain", training.changes)
    settings = TrainingSettings.of(
        job,
        training,
        "retrain",
        checkpoint=folder / "checkpoint.pt",
        fingerprint=fingerprint,
        curves=job.run.tensorboard(f"retrain-{folder.name}"),
    )
    steps = train(net, lambda _: Passes([Pass(net)]), job.data, recipe, settings, job.progress)
    return _recalibrated(job, arch, net), steps


def _recalibrated(job: Job, arch: Architecture, trained: Network) -> Network:
    """`trained` with BN statistics of all processes; its own are those of one process's batches."""
    config = job.config
    net = place(Network(job.space, arch, STANDALONE), compute_device(config.retrain.device))
    net.load_state_dict(trained.state_dict())
    images = recalibration_batches(job.data, RECALIBRATION_IMAGES, config.search.batch, config.seed, spread=True)
    recalibrate(net, images, job.data.preprocessing)
    average_statistics(net)
    return net


def _evaluate(job: Job, net: Network, arch: Architecture, fingerprint: StoredFingerprint, steps: int) -> Retrained:
    data, batch = job.data, job.config.search.batch
    test_images = tuple(range(len(data.test.labels)))
    return Retrained(
        architecture=arch.choices,
        space=job.space.name,
        test_accuracy=accuracy_over_ranks(net, data.test, test_images, batch, data.preprocessing),
        holdout_accuracy=accuracy_over_ranks(net, data.train, data.holdout, batch, data.preprocessing),
        steps=steps,
        fingerprint=dict(fingerprint),
        evaluated_on=_evaluated_on(job),
    )
