"""What is benchmarked, by name: an ONNX file, a run's export, a network of torchvision's, or an engine; and on what."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import torch

from exporters.cuda.plans import SUFFIX as ENGINE
from exporters.graph.precision import precision_of
from exporters.graph.to_onnx import export_onnx
from toolchain.config import Config, ProfileConfig
from toolchain.errors import BadConfig
from toolchain.export.engines import gpu_of, read_engine, require_engine_batch
from toolchain.measuring.model_inputs import require_batch
from toolchain.measuring.target import require_own_precision
from toolchain.progress import Progress
from toolchain.runs import Run

RUN, TORCHVISION = "run:", "torchvision:"
IMAGENET_PX, IMAGENET_CLASSES = 224, 1000


@dataclass(frozen=True)
class Subject:
    """A name, as it was typed, its file, and what that is timed on: device, backend, and the file's own precision."""

    name: str
    file: Path
    profile: ProfileConfig

    @property
    def is_engine(self) -> bool:
        return self.file.suffix == ENGINE


def places_of(backends: Sequence[str], profile: ProfileConfig) -> tuple[ProfileConfig, ...]:
    """What each ONNX file is timed on.

    Args:
        backends: `tensorrt` runs on the profile's device, `tensorrt@gpu0` on that one; none: the profile's own.

    Raises:
        BadConfig: a backend or a device without a name, or a device that is only estimated.
    """
    if profile.estimate:
        raise BadConfig(
            f"a bench measures, and {profile.device} is only estimated here. Take estimate = true out of "
            f"nastool.toml, or type this where the device is"
        )
    places = []
    for text in backends:
        backend, at, device = text.partition("@")
        if not backend or (at and not device):
            raise BadConfig(
                f"--backend {text!r} lacks a name. Write it as onnxruntime, or with a device as tensorrt@gpu0"
            )
        places.append(profile.model_copy(update={"backend": backend, "device": device or profile.device}))
    return tuple(places) or (profile,)


def find_subjects(
    names: Sequence[str], places: Sequence[ProfileConfig], config: Config, folder: Path, progress: Progress
) -> tuple[Subject, ...]:
    """Each name's file on each of `places`; an engine on its own runtime and GPU alone.

    Networks of torchvision's are exported into `folder`, with drawn weights: a network's latency does not depend on
    what its weights are, its accuracy does. All that can be refused is, before anything is exported.

    Raises:
        BadConfig: no run, no network or no option has that name.
        MissingStage, NotOnnx, BadModel, EngineFailed: a file is missing, damaged, or can't be timed at the batch.
        BackendUnavailable, DeviceMissing, UnknownDevice: something to run it on is not here.
        ExportFailed: torch can't export the network.
    """
    made = {name: folder / f"{number}.onnx" for number, name in enumerate(names) if name.startswith(TORCHVISION)}
    wanted = {name: _torchvision(name) for name in made}
    found: list[Subject] = []
    for name in names:
        file = made.get(name) or _here(name, config)
        if file.suffix == ENGINE:
            found.append(Subject(name, file, _engine_place(file, places[0])))
            continue
        if name not in made:
            require_batch(file, places[0].batch)
        precision = "fp32" if name in made else precision_of(file)
        found += [Subject(name, file, place.model_copy(update={"precision": precision})) for place in places]
    for subject in found:
        require_own_precision(subject.name, subject.profile, "Leave it out, or bench it on a GPU (--device gpu0)")
    task = progress.start("export anchor networks", len(wanted)) if wanted else None
    for name, (network, size_px, classes) in wanted.items():
        _export(network, size_px, classes, made[name])
        if task:
            task.advance(note=name)
    return tuple(found)


def _here(name: str, config: Config) -> Path:
    if not name.startswith(RUN):
        return Path(name)
    run = Run(config.runs / name.removeprefix(RUN))
    run.require(run.onnx, "export")
    return run.onnx


def _engine_place(file: Path, profile: ProfileConfig) -> ProfileConfig:
    engine = read_engine(file)
    require_engine_batch(engine, profile.batch)
    place = {"backend": engine.runtime, "device": gpu_of(engine).name, "precision": engine.precision}
    return profile.model_copy(update=place)


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
