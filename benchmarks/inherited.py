"""The inherited scores of all networks of the ground truth's space, with a supernet trained for that."""

import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from ground_truth import architectures, truth_config
from lines import Lines
from numpy.typing import NDArray

from toolchain.progress import Quiet
from toolchain.runs import Run
from toolchain.search.evaluate import Evaluator, ScoringSettings
from toolchain.search.race import Race
from toolchain.search.scores import Flags
from toolchain.spaces.core import SearchSpace
from toolchain.training.data import Data
from toolchain.training.job import Job
from toolchain.training.strategies import StrategyName, training_strategy
from toolchain.training.strategies.cost import equal_cost_epochs
from toolchain.training.supernet_training import train_supernet
from toolchain.training.trained_supernet import load_supernet

EPOCHS = 2.0  # of spos


@dataclass(frozen=True)
class Inherited:
    """The scores of all networks on the hold-out.

    Args:
        correct: (networks, images), whether each image was classified correctly.
        loss: (networks,), mean cross-entropy.
        seconds: CPU seconds of the training and the scoring.
    """

    correct: Flags
    loss: NDArray[np.float64]
    seconds: float


def inherited_scores(folder: Path, space: SearchSpace, data: Data, seed: int, strategy: StrategyName) -> Inherited:
    """The scores of a supernet with the compute of two epochs of spos; kept in `folder`."""
    cached = folder / f"supernet_{strategy}_{seed}.npz"
    if not cached.exists():
        Lines().say(f"supernet {strategy}, seed {seed}")
        scores = _train_and_score(space, data, seed, strategy)
        np.savez_compressed(cached, correct=scores.correct, loss=scores.loss, seconds=scores.seconds)
    content = np.load(cached)
    return Inherited(content["correct"], content["loss"], float(content["seconds"]))


def _train_and_score(space: SearchSpace, data: Data, seed: int, strategy: StrategyName) -> Inherited:
    config = truth_config(seed)
    spos, own = (training_strategy(name, space, space.draw) for name in ("spos", strategy))
    changes = {"epochs": equal_cost_epochs(EPOCHS, spos, own, space)}
    training = config.train.model_copy(update={"strategy": strategy, "changes": changes})
    config = config.model_copy(update={"train": training})
    with TemporaryDirectory() as run:
        job = Job(config, space, data, Run(Path(run)), Quiet())
        began = time.process_time()
        train_supernet(job)
        settings = ScoringSettings(config.search.bn_images, config.search.batch, seed)
        evaluator = Evaluator(load_supernet(job), data, settings, Race(0.05))  # a race keeps the flags
        scores = evaluator.many(architectures(space))
    correct = np.stack([score.correct for score in scores if score.correct is not None])
    loss = np.array([score.loss for score in scores], np.float64)
    return Inherited(correct, loss, time.process_time() - began)
