"""What is benchmarked, by name: an ONNX file, a run's export, a network of torchvision's, or an engine; and on what."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path

import torch

from exporters.cuda.plans import SUFFIX as ENGINE
from exporters.graph.model import Model
from exporters.graph.to_onnx import export_onnx
from toolchain.errors import BadConfig
from toolchain.export.engine_file import read_engine, spec_of
from toolchain.export.manifest import read_manifest
from toolchain.measuring.model_inputs import require_batch
from toolchain.measuring.target import ReadyTarget, for_own_precision, ready_target
from toolchain.measuring.target_spec import TargetSpec
from toolchain.progress import Progress
from toolchain.runs import Run

RUN, TORCHVISION = "run:", "torchvision:"
IMAGENET_PX, IMAGENET_CLASSES = 224, 1000


@dataclass(frozen=True)
class Subject:
    """A file to benchmark: its name as typed, and the target for the file's own precision.

    An engine is a model that is never parsed.
    """

    name: str
    model: Model
    target: ReadyTarget

    @property
    def file(self) -> Path:
        return self.model.path

    @property
    def is_engine(self) -> bool:
        return self.file.suffix == ENGINE


def places_of(backends: Sequence[str], spec: TargetSpec) -> tuple[TargetSpec, ...]:
    """The targets that each ONNX file is timed on.

    Args:
        backends: `tensorrt` uses the device of `spec`, `tensorrt@gpu0` that device. If empty, `spec` is used as it is.

    Raises:
        BadConfig: a backend or a device has no name, or the device would only be estimated.
    """
    if spec.estimate:
        raise BadConfig(
            f"nastool bench measures, and {spec.device} would only be estimated. Remove estimate = true from "
            f"nastool.toml, or run this where the device is attached"
        )
    places = []
    for text in backends:
        backend, at, device = text.partition("@")
        if not backend or (at and not device):
            raise BadConfig(
                f"--backend {text!r} has no name. Write it as onnxruntime, or with a device as tensorrt@gpu0"
            )
        places.append(replace(spec, backend=backend, device=device or spec.device))
    return tuple(places) or (spec,)


def find_subjects(
    names: Sequence[str], places: Sequence[TargetSpec], runs: Path, folder: Path, progress: Progress
) -> tuple[Subject, ...]:
    """Each file on each of `places`; an engine only on its own runtime and GPU.

    Networks of torchvision are exported into `folder` with random weights, since latency does not depend on them
    (accuracy does). Everything that can be refused is refused before anything is exported.

    Args:
        runs: the folder of all runs.

    Raises:
        BadConfig: no run, network or option has that name.
        MissingStage, NotOnnx, BadModel, EngineFailed: a file is missing, damaged, or cannot be timed at the batch.
        BackendUnavailable, DeviceMissing, UnknownDevice: a device or runtime is not available here.
        ExportFailed: torch cannot export the network.
    """
    made = {name: folder / f"{number}.onnx" for number, name in enumerate(names) if name.startswith(TORCHVISION)}
    to_export = {name: _torchvision(name) for name in made}
    resolve, model_of = cache(ready_target), cache(Model)
    subjects: list[Subject] = []
    for name in names:
        file = made.get(name) or _here(name, runs)
        model = model_of(file)
        specs = [spec_of(read_engine(file), places[0])] if file.suffix == ENGINE else list(places)
        if file.suffix == ENGINE:
            precision = specs[0].precision
        elif name in made:
            precision = "fp32"
        else:
            require_batch(model, places[0].batch)
            precision = model.precision
        for spec in specs:
            ready = resolve(replace(spec, precision="fp32"))  # which every backend computes
            instead = "Leave it out, or bench it on a GPU (--device gpu0)"
            subjects.append(Subject(name, model, for_own_precision(ready, precision, name, instead)))
    task = progress.start("export torchvision networks", len(to_export)) if to_export else None
    for name, (network, size_px, classes) in to_export.items():
        _export(network, size_px, classes, made[name])
        if task:
            task.advance(note=name)
    return tuple(subjects)


def _here(name: str, runs: Path) -> Path:
    if not name.startswith(RUN):
        return Path(name)
    run = Run(runs / name.removeprefix(RUN))
    read_manifest(run)  # the file must be the exported one
    return run.onnx


def _torchvision(text: str) -> tuple[str, int, int]:
    """`torchvision:mobilenet_v2:size_px=160,classes=37` -> ("mobilenet_v2", 160, 37)."""
    from torchvision import models

    network, _, options = text.removeprefix(TORCHVISION).partition(":")
    known = models.list_models(module=models)
    if network not in known:
        near = get_close_matches(network, known) or known
        raise BadConfig(f"torchvision has no classifier {network!r}. It has {', '.join(near)}")
    numbers = {"size_px": IMAGENET_PX, "classes": IMAGENET_CLASSES}
    for option in filter(None, options.split(",")):
        key, _, value = option.partition("=")
        if key not in numbers or not value.isdecimal() or int(value) < 1:
            raise BadConfig(f"{text!r}: {option!r} is no option. Write it as {TORCHVISION}{network}:size_px=224")
        numbers[key] = int(value)
    return network, numbers["size_px"], numbers["classes"]


def _export(network: str, size_px: int, classes: int, path: Path) -> None:
    from torchvision import models

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = models.get_model(network, weights=None, num_classes=classes)
    export_onnx(net.eval(), torch.zeros(2, 3, size_px, size_px), path)
