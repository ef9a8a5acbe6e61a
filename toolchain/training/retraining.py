"""Train one architecture alone, and evaluate it."""

from dataclasses import replace
from functools import partial
from pathlib import Path

from torch import nn

from toolchain.files import Document, read_document, write_document
from toolchain.nets.blocks import STANDALONE, shared_by
from toolchain.nets.model_space.weights import builder_of_model, model_state, narrowing_of
from toolchain.nets.network import Network
from toolchain.parallel.collectives import from_first
from toolchain.parallel.ranks import rank, world
from toolchain.spaces.core import Architecture
from toolchain.spaces.model_source import full_architecture
from toolchain.training.accuracy import accuracy_over_ranks, recalibration_batches
from toolchain.training.fingerprint import retrain_fingerprint
from toolchain.training.holdout_scores import HoldoutWatch
from toolchain.training.job import Job
from toolchain.training.loop import TrainingSettings, train
from toolchain.training.original_model import MODEL_FILE
from toolchain.training.passes import Pass, Passes
from toolchain.training.precision import compute_device
from toolchain.training.recalibrate import average_statistics, recalibrate
from toolchain.training.recipe import Recipe, load_recipe
from toolchain.training.retrained import Retrained, load_retrained, read_retrained
from toolchain.training.sealed_file import save_sealed
from toolchain.training.starting_point import StartingPoint
from toolchain.training.stored_fingerprint import StoredFingerprint, require_same
from toolchain.training.torch_setup import place, place_for_training

RECALIBRATION_IMAGES = 20_000  # after retraining, as for candidates in the paper


def retrain(job: Job, arch: Architecture) -> Retrained:
    """Train `arch` alone, recalibrate its BN statistics, and evaluate it on the test images, once.

    It starts from random weights, the supernet's or those of a file, and may learn from a teacher, as configured.

    A finished training is not repeated; where hold-out or test images have changed since, only the evaluation is.

    Returns:
        the content of result.json: architecture, test accuracy, hold-out accuracy, steps.

    Raises:
        BadCheckpoint, BadData, RunFolderError: see `loop.train`; or the weights to start from do not fit.
        MissingStage: it starts from the supernet, or learns from it, and there is none.
        TrainingDiverged: the loss or the weights are not finite.
    """
    start = StartingPoint(job)
    fingerprint = retrain_fingerprint(job, arch, start.origin).stored()
    folder = job.run.retrain(arch)
    earlier = from_first(lambda: _earlier_result(folder / "result.json", fingerprint))
    if earlier is not None and earlier.evaluated_on == _evaluated_on(job):
        _track(job, arch, earlier)
        return earlier
    if earlier is None:
        net, steps = train_alone(job, arch, fingerprint, start, watched=True)
    else:
        job.progress.say("this network is trained; hold-out or test images have changed, so it is evaluated again")
        trained = from_first(lambda: load_retrained(job.space, arch, job.data, job.run))
        net, steps = place(trained, compute_device(job.config.retrain.device)), earlier.steps
    result = _evaluate(job, net, arch, fingerprint, steps)
    if rank() == 0:
        if earlier is None:
            save_sealed(folder / "best.pt", {"fingerprint": fingerprint, "model": net.state_dict()})
            _save_model(job, arch, net, folder / MODEL_FILE)
        write_document(folder / "result.json", result)
        _track(job, arch, result)
    return result


def _save_model(job: Job, arch: Architecture, net: Network, path: Path) -> None:
    """Also write the user's own model by its own names, so that their code and `--from` can load it."""
    is_model = builder_of_model(job.space) is not None and narrowing_of(job.space) is None
    if is_model and arch == full_architecture(job.space):
        save_sealed(path, model_state(job.space, net.state_dict()))
        job.progress.say(f"the model by its own names: {path}")


def name_of(job: Job, arch: Architecture) -> str:
    """`retrain/latency_17ms`, by the budget that the network is the winner of, or else by the name of its folder.

    Winners are read where a tracker takes the name; TensorBoard takes folders.
    """
    for budget in job.run.budgets if job.trackers else ():
        best = read_document(job.run.budget(budget) / "best.json", _Chosen, "Remove it and run nastool search")
        if best.architecture == arch.choices:
            return f"retrain/{budget}"
    return f"retrain/{job.run.retrain(arch).name}"


class _Chosen(Document):
    """The part of best.json that names the winner."""

    architecture: tuple[str, ...]


def _track(job: Job, arch: Architecture, result: Retrained) -> None:
    accuracies = {"test_accuracy": result.test_accuracy, "holdout_accuracy": result.holdout_accuracy}
    job.tracker.results(name_of(job, arch), accuracies)


def _evaluated_on(job: Job) -> dict[str, str]:
    return {"holdout_images": job.data.digests.holdout, "test_images": job.data.digests.test}


def _earlier_result(path: Path, fingerprint: StoredFingerprint) -> Retrained | None:
    """The result of a finished training with the same settings."""
    if not path.exists():
        return None
    result = read_retrained(path)
    require_same(path, result.fingerprint, fingerprint)
    return result


def train_alone(
    job: Job,
    arch: Architecture,
    fingerprint: StoredFingerprint,
    start: StartingPoint,
    title: str = "retrain",
    watched: bool = False,
) -> tuple[Network, int]:
    """`arch` after training and recalibration, and the number of steps.

    Args:
        title: of the progress.
        watched: its accuracy on the hold-out is kept along the training, which a recipe may end early by it.
    """
    training, folder = job.config.retrain, job.run.retrain(arch)
    net = Network(job.space, arch, shared_by(STANDALONE, world() if training.sync_batch_norm else 1))
    start.initialize(net, arch, job.config.seed)
    place_for_training(net, compute_device(training.device), training)

    recipe = load_recipe(training.recipe, "retrain", training.changes)
    job.tracker.settings("retrain.recipe", recipe.model_dump())
    settings = TrainingSettings.of(
        job,
        training,
        title,
        checkpoint=folder / "checkpoint.pt",
        fingerprint=fingerprint,
        curves=partial(job.tracker.training, f"retrain-{folder.name}", name_of(job, arch)),
    )
    if watched:
        settings = replace(settings, watch=_watch(job, arch, recipe))
    passes = Passes([Pass(net, start.teacher(recipe))])
    steps = train(net, lambda _: passes, job.data, recipe, settings, job.progress)
    return _recalibrated(job, arch, net), steps


def _watch(job: Job, arch: Architecture, recipe: Recipe) -> HoldoutWatch:
    """Scores the network alone."""

    def networks(model: nn.Module) -> dict[str, nn.Module]:
        net = place(Network(job.space, arch, STANDALONE), next(model.parameters()).device)
        net.load_state_dict(model.state_dict())
        return {"network": net}

    path = job.run.retrain(arch) / "holdout.json"
    return HoldoutWatch(path, networks, {"network": arch.choices}, job.data, job.config.seed, recipe.patience)


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
        holdout_images=len(data.holdout),
        test_images=len(test_images),
    )
