"""Supernets that another table or figure has trained already: Table 3 and Figures 2 and 3 need the same ones."""

import shutil
from pathlib import Path

from toolchain.errors import BadCheckpoint
from toolchain.training.checkpoint import load
from toolchain.training.fingerprint import supernet_fingerprint
from toolchain.training.job import Job
from toolchain.training.recipe import load_recipe


def take_known_supernet(job: Job) -> None:
    """Copy a finished supernet with the fingerprint of this job into its run, from a run of another table.

    Where there is none, or it cannot be copied, the supernet is trained.
    """
    own = job.run.supernet.parent
    if job.run.supernet.exists():
        return
    fingerprint = supernet_fingerprint(job).stored()
    recipe = load_recipe(job.config.train.recipe, "supernet", job.config.train.changes)
    steps = recipe.steps(len(job.data.fit))
    tables = job.run.folder.parent.parent
    for checkpoint in sorted(tables.glob(f"*/*-seed{job.config.seed}/supernet/{job.run.supernet.name}")):
        try:
            if load(checkpoint, fingerprint).step < steps:
                continue
            _copy(checkpoint.parent, own)
        except (BadCheckpoint, OSError):  # of other settings, damaged, or a full disk
            continue
        job.progress.say(f"{own}: the same training as in {checkpoint.parent}, copied")
        return


def _copy(folder: Path, own: Path) -> None:
    """Entirely or not at all."""
    part = own.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(folder, part)
    shutil.rmtree(own, ignore_errors=True)
    part.rename(own)
