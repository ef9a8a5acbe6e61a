"""Fingerprints are in files exactly as earlier versions wrote them, so that checkpoints and results stay valid."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from toolchain.config import parse_config, preset_text
from toolchain.progress import Quiet
from toolchain.runs import Run
from toolchain.search.scores_fingerprint import scores_fingerprint
from toolchain.spaces import load_space
from toolchain.training.data import Data
from toolchain.training.fingerprint import Origin, retrain_fingerprint, supernet_fingerprint
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
    assert json.dumps(retrain_fingerprint(job, arch, Origin()).stored()) == json.dumps(expected)


@pytest.mark.parametrize("race", [False, True])
def test_fingerprint_of_scores(race: bool, job: Job) -> None:
    job.run.supernet.parent.mkdir(parents=True)
    job.run.supernet.write_bytes(b"x")
    config = job.config.model_copy(update={"search": job.config.search.model_copy(update={"race": race})})
    expected = SCORES | ({"race_error": 0.05} if race else {})
    assert json.dumps(scores_fingerprint(config, job.data, job.run).stored()) == json.dumps(expected)


def test_statistics_of_each_process_are_named(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights then depend on the number of processes; with one process, or shared statistics, they do not."""
    own = job.config.train.model_copy(update={"sync_batch_norm": False})
    separate = replace(job, config=job.config.model_copy(update={"train": own}))
    assert "bn_processes" not in supernet_fingerprint(separate).stored()
    monkeypatch.setattr("toolchain.training.fingerprint.world", lambda: 2)
    assert "bn_processes" not in supernet_fingerprint(job).stored()
    assert supernet_fingerprint(separate).stored()["bn_processes"] == 2
    assert "bn_processes" not in retrain_fingerprint(separate, job.space.all_same("choice_3"), Origin()).stored()


def test_importance_of_channels_is_named_where_it_is_not_the_default(job: Job, tmp_path: Path) -> None:
    """Without weights to start from there is nothing to sort."""
    weights = tmp_path / "weights.pt"
    weights.write_bytes(b"x")
    training = job.config.train.model_copy(update={"importance": "taylor"})
    by_taylor = replace(job, config=job.config.model_copy(update={"train": training}))
    assert "importance" not in supernet_fingerprint(by_taylor).stored()
    training = training.model_copy(update={"start_from": weights})
    by_taylor = replace(job, config=job.config.model_copy(update={"train": training}))
    assert supernet_fingerprint(by_taylor).stored()["importance"] == "taylor"
