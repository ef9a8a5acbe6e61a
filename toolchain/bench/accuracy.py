"""Accuracy of exported classifiers on the data set that they were trained for, computed by the timed runtime."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from exporters.graph.model import Model
from toolchain.bench.results import Accuracy, Part
from toolchain.bench.subjects import Subject
from toolchain.errors import UserError
from toolchain.export.bundle import preprocessing_of
from toolchain.nets.checked_space import load_checked_space
from toolchain.progress import Progress
from toolchain.spaces.core import SearchSpace
from toolchain.training.accuracy import fixed_batches
from toolchain.training.data import Data

LoadData = Callable[[SearchSpace], Data]
PREFIX = "nastool."
SAME_IMAGES = ("size_px", "mean", "std")  # preprocessing fields that determine the network input


def score(subjects: Sequence[Subject], part: Part, load: LoadData, progress: Progress) -> dict[Subject, Accuracy | str]:
    """The accuracy of each file, computed by the backend that it is timed on, or why it is unknown.

    Args:
        load: loads the data set with the image size and channels of a space.
    """
    accuracies: dict[Subject, Accuracy | str] = {}
    data_of_space: dict[str, Data | str] = {}
    for subject in dict.fromkeys(subjects):
        info = "unknown: an engine has no classes and no preprocessing" if subject.is_engine else _info(subject.model)
        if isinstance(info, str):
            accuracies[subject] = info
            continue
        if info.space not in data_of_space:
            data_of_space[info.space] = _data_for(info.space, load)
        data = data_of_space[info.space]
        accuracies[subject] = data if isinstance(data, str) else _score(subject, part, data, info, progress)
    return accuracies


@dataclass(frozen=True)
class _ClassifierInfo:
    """The metadata that `nastool export` writes into a file."""

    space: str
    classes: tuple[str, ...]
    preprocessing: Mapping[str, object]


def _info(model: Model) -> _ClassifierInfo | str:
    """The metadata of `model`, or why its accuracy is unknown."""
    entries = {key.removeprefix(PREFIX): text for key, text in model.metadata.items() if key.startswith(PREFIX)}
    try:
        space, classes, preprocessing = (json.loads(entries[key]) for key in ("space", "classes", "preprocessing"))
    except (KeyError, ValueError):
        return "unknown: the file has no classes in its metadata"
    if not (isinstance(space, str) and isinstance(classes, list) and isinstance(preprocessing, dict)):
        return "unknown: the file has no classes in its metadata"
    return _ClassifierInfo(space, tuple(classes), preprocessing)


def _data_for(space_name: str, load: LoadData) -> Data | str:
    try:
        return load(load_checked_space(space_name))
    except UserError as problem:
        return f"unknown: {problem}"


def _score(subject: Subject, part: Part, data: Data, info: _ClassifierInfo, progress: Progress) -> Accuracy | str:
    if info.classes != data.classes:
        return f"unknown: its classes are not those of {data.name}"
    expected = preprocessing_of(data).model_dump(mode="json")
    if differing := [key for key in SAME_IMAGES if info.preprocessing.get(key) != expected[key]]:
        return f"unknown: its preprocessing differs from that of {data.name} in {' and '.join(differing)}"
    (input_,) = subject.model.inputs
    images, indices = (data.test, tuple(range(len(data.test.labels)))) if part == "test" else (data.train, data.holdout)
    spec = subject.target.compile_spec
    batch, compiled = spec.batch, subject.target.backend.compile(subject.model, spec)
    task, correct = progress.start(f"{part} images through {subject.name}", len(indices)), 0
    try:
        for pixels, labels in fixed_batches(images, indices, batch):
            inputs = data.preprocessing(pixels).contiguous().numpy()
            full = np.resize(inputs, (batch, *inputs.shape[1:]))  # the file may be static
            (logits,) = compiled.run({input_.name: full}).values()
            correct += int((logits[: len(labels)].argmax(1) == labels.numpy()).sum())
            task.advance(len(labels))
    finally:
        compiled.close()
    return Accuracy(correct / len(indices), len(indices))
