"""What is benchmarked, by name: an ONNX file, a run's export, or a network of torchvision's."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import torch

from exporters.to_onnx import export_onnx
from toolchain.config import Config
from toolchain.errors import BadConfig
from toolchain.models import require_batch
from toolchain.progress import Progress
from toolchain.runs import Run

RUN, TORCHVISION = "run:", "torchvision:"
IMAGENET_PX, IMAGENET_CLASSES = 224, 1000


@dataclass(frozen=True)
class Subject:
    """A name, as it was typed, and its file."""

    name: str
    file: Path


def find_subjects(names: Sequence[str], config: Config, folder: Path, progress: Progress) -> tuple[Subject, ...]:
    """The file of each name; those of torchvision's networks are exported into `folder`, with drawn weights.

    A network's latency does not depend on what its weights are, its accuracy does.

    Raises:
        BadConfig: no run, no network or no option has that name.
        MissingStage, NotOnnx, BadModel: a file is missing or can't be timed at the configured batch.
        ExportFailed: torch can't export the network.
    """
    known = [subject for name in names if (subject := _here(name, config)) is not None]
    wanted = {name: _torchvision(name) for name in names if name.startswith(TORCHVISION)}
    for subject in known:  # all that can be refused is, before anything is exported
        require_batch(subject.file, config.profile.batch)
    made = {}
    task = progress.start("export reference networks", len(wanted)) if wanted else None
    for number, (name, (network, size_px, classes)) in enumerate(wanted.items()):
        made[name] = Subject(name, folder / f"{number}.onnx")
        _export(network, size_px, classes, made[name].file)
        if task:
            task.advance(note=name)
    files = {subject.name: subject for subject in known} | made
    return tuple(files[name] for name in names)


def _here(name: str, config: Config) -> Subject | None:
    if name.startswith(TORCHVISION):
        return None
    if name.startswith(RUN):
        run = Run(config.runs / name.removeprefix(RUN))
        run.require(run.onnx, "export")
        return Subject(name, run.onnx)
    return Subject(name, Path(name))


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
