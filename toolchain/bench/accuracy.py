"""The accuracy of exported classifiers, computed by the runtime that is timed, on images whose classes are theirs."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any, Literal, cast, get_args

import numpy as np

from exporters.graph.model import Model
from toolchain.bench.subjects import Subject
from toolchain.errors import BadConfig, UserError
from toolchain.export.bundle import preprocessing_of
from toolchain.nets.checked_space import load_checked_space
from toolchain.progress import Progress
from toolchain.spaces.core import SearchSpace
from toolchain.training.accuracy import fixed_batches
from toolchain.training.data import Data

Part = Literal["holdout", "test"]
LoadData = Callable[[SearchSpace], Data]
PREFIX = "nastool."
SAME_IMAGES = ("size_px", "mean", "std")  # of the preprocessing: what makes an input of an image


@dataclass(frozen=True)
class Accuracy:
    """The share of `images` whose highest logit is their label's, 0 to 1."""

    share: float
    images: int

    @property
    def standard_error(self) -> float:
        """Of the share, as that of a draw of so many images."""
        return sqrt(self.share * (1 - self.share) / self.images)


def part_of(text: str | None) -> Part | None:
    """The images that were asked for.

    Raises:
        BadConfig: neither holdout nor test.
    """
    if text is None:
        return None
    for part in get_args(Part):
        if part == text:
            return cast(Part, part)
    raise BadConfig(f"--accuracy {text} is not known. Write holdout (as often as you like) or test (once, at the end)")


def score(subjects: Sequence[Subject], part: Part, load: LoadData, progress: Progress) -> dict[Subject, Accuracy | str]:
    """The accuracy of each file on the data, computed by the backend that it is timed on, or why it is unknown.

    Args:
        load: loads the data as inputs of a space.
    """
    found: dict[Subject, Accuracy | str] = {}
    loaded: dict[str, Data | str] = {}
    for subject in dict.fromkeys(subjects):
        if subject.is_engine:
            found[subject] = "unknown: of an engine nothing says which classes and images it is for"
            continue
        about = _about(subject.model)
        if about is None:
            found[subject] = "unknown: the file says nothing of its classes"
            continue
        space_name = about["space"]
        if space_name not in loaded:
            loaded[space_name] = _data_for(space_name, load)
        data = loaded[space_name]
        found[subject] = data if isinstance(data, str) else _score(subject, part, data, about, progress)
    return found


def _about(model: Model) -> dict[str, Any] | None:
    """What `nastool export` wrote into the file, or None if it is another's."""
    told = {key.removeprefix(PREFIX): text for key, text in model.metadata.items() if key.startswith(PREFIX)}
    try:
        about = {key: json.loads(told[key]) for key in ("space", "classes", "preprocessing")}
    except (KeyError, ValueError):
        return None
    return about if isinstance(about["space"], str) and isinstance(about["preprocessing"], dict) else None


def _data_for(space_name: str, load: LoadData) -> Data | str:
    try:
        return load(load_checked_space(space_name))
    except UserError as problem:
        return f"unknown: {problem}"


def _score(subject: Subject, part: Part, data: Data, about: Mapping[str, Any], progress: Progress) -> Accuracy | str:
    if tuple(about["classes"]) != data.classes:
        return f"unknown: its classes are not those of {data.name}"
    ours = preprocessing_of(data)
    if differing := [key for key in SAME_IMAGES if about["preprocessing"].get(key) != ours[key]]:
        return f"unknown: its preprocessing has another {' and '.join(differing)} than {data.name}"
    (input_,) = subject.model.inputs
    images, indices = (data.test, tuple(range(len(data.test.labels)))) if part == "test" else (data.train, data.holdout)
    spec = subject.target.compile_spec
    batch, compiled = spec.batch, subject.target.backend.compile(subject.model, spec)
    task, right = progress.start(f"{part} images through {subject.name}", len(indices)), 0
    try:
        for pixels, labels in fixed_batches(images, indices, batch):
            inputs = data.preprocessing(pixels).contiguous().numpy()
            full = np.resize(inputs, (batch, *inputs.shape[1:]))  # a file may take nothing but whole batches
            (logits,) = compiled.run({input_.name: full}).values()
            right += int((logits[: len(labels)].argmax(1) == labels.numpy()).sum())
            task.advance(len(labels))
    finally:
        compiled.close()
    return Accuracy(right / len(indices), len(indices))
