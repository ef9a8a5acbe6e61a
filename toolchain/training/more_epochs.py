"""Epochs that are added to a supernet whose training has ended."""

from toolchain.training.checkpoint import load, reading
from toolchain.training.fingerprint import SupernetFingerprint
from toolchain.training.holdout_scores import HoldoutWatch
from toolchain.training.job import Job
from toolchain.training.phases import ADDED, AddedEpochs, last_phase

Added = tuple[AddedEpochs, ...]


def added_epochs(
    job: Job, fingerprint: SupernetFingerprint, watch: HoldoutWatch, more_epochs: float | None
) -> tuple[Added, Added]:
    """The epochs that were added to the checkpoint, and those with `more_epochs` if its training has ended.

    Args:
        fingerprint: of the training without added epochs.

    Raises:
        BadCheckpoint: it is damaged, or was made with other settings.
        MissingStage: epochs are added, and there is no supernet.
    """
    path = job.run.supernet
    if not path.exists():
        if more_epochs is not None:
            job.run.require(path, "train")
        return (), ()
    checkpoint = load(path, fingerprint.stored(), ignored=("added_epochs",))
    with reading(path):
        earlier = ADDED.validate_python(checkpoint.fingerprint.get("added_epochs", ()))
    phase = last_phase(fingerprint.recipe, len(job.data.fit), earlier)
    ended = checkpoint.step >= phase.end or watch.stops(watch.resume(checkpoint.step), phase.begin)
    if more_epochs is None or not ended:
        return earlier, earlier
    return earlier, (*earlier, AddedEpochs(step=checkpoint.step, epochs=more_epochs))
