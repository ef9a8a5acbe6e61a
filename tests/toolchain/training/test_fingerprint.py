"""Fingerprints are in files exactly as earlier versions wrote them, so that checkpoints and results stay valid."""

import json
from pathlib import Path

import pytest

from toolchain.config import parse_config, preset_text
from toolchain.progress import Quiet
from toolchain.runs import Run
from toolchain.search.scores_fingerprint import scores_fingerprint
from toolchain.spaces import load_space
from toolchain.training.data import Data
from toolchain.training.fingerprint import retrain_fingerprint, supernet_fingerprint
from toolchain.training.job import Job

SPACE = "shufflenet_v2_quick:size_px=16,stem_channels=8,stage_widths=16-24,stage_repeats=1-1"
TRAINING = {  # written by nastool at commit 62c0fa8
    "space": SPACE,
    "space_digest": "6a1d8b8b46667114",
    "data": "digits",
    "training_images": "dab54af51f687ccc",
    "holdout_per_class": 20,
    "seed": 3,
    "recipe": {
        "epochs": 2.0,
        "batch": 64,
        "lr": 0.1,
        "momentum": 0.9,
        "weight_decay": 4e-05,
        "clip_lr_scale": 1.0,
        "clip_weight_decay": 0.0,
        "schedule": "cosine",
        "warmup_steps": 50,
        "label_smoothing": 0.1,
        "augmentation": {"random_resized_crop": False, "crop_padding": 0, "color_jitter": 0.0, "flip": False},
    },
}
SCORES = {
    "supernet_sha256": "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",  # of the byte x
    "data_digest": "b2f8dcce0e1b50a0",
    "holdout_per_class": 20,
    "bn_images": 2000,
    "batch": 250,
    "seed": 3,
}


@pytest.fixture
def job(digits: Data, tmp_path: Path) -> Job:
    flags = {"space": SPACE, "data": "digits", "holdout_per_class": 20, "seed": 3}
    changes = {"train.changes": {"epochs": 2}, "retrain.changes": {"epochs": 2}, "search": {"bn_images": 2000}}
    config = parse_config(preset_text("quick"), flags | changes, "test")
    return Job(config, load_space(SPACE), digits, Run(tmp_path / "r"), Quiet())


def test_fingerprint_of_a_supernet(job: Job) -> None:
    expected = TRAINING | {"sampler": "levels", "start_from": None}
    assert json.dumps(supernet_fingerprint(job).stored()) == json.dumps(expected)


def test_fingerprint_of_a_retrained_architecture(job: Job) -> None:
    expected = TRAINING | {"architecture": ["choice_3", "choice_x"]}
    arch = job.space.architecture(("choice_3", "choice_x"))
    assert json.dumps(retrain_fingerprint(job, arch).stored()) == json.dumps(expected)


@pytest.mark.parametrize("race", [False, True])
def test_fingerprint_of_scores(race: bool, job: Job) -> None:
    job.run.supernet.parent.mkdir(parents=True)
    job.run.supernet.write_bytes(b"x")
    config = job.config.model_copy(update={"search": job.config.search.model_copy(update={"race": race})})
    expected = SCORES | ({"race_error": 0.05} if race else {})
    assert json.dumps(scores_fingerprint(config, job.data, job.run).stored()) == json.dumps(expected)
