"""What is benchmarked, by name: an ONNX file, a run's export, a network of torchvision's, or an engine; and on what."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

from exporters.cuda.plans import SUFFIX as ENGINE
from exporters.graph.model import Model
from toolchain.bench.installed import require_installed
from toolchain.errors import BadConfig
from toolchain.export.engine_file import read_engine, spec_of
from toolchain.export.manifest import read_manifest
from toolchain.measuring.model_inputs import require_batch
from toolchain.measuring.target import ReadyTarget, for_own_precision, ready_target
from toolchain.measuring.target_spec import TargetSpec
from toolchain.progress import Progress
from toolchain.runs import Run

RUN, TORCHVISION = "run:", "torchvision:"


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
    exports = _torchvision_exports(made)
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
    task = progress.start("export torchvision networks", len(exports)) if exports else None
    for name, export in exports.items():
        export()
        if task:
            task.advance(note=name)
    return tuple(subjects)


def _torchvision_exports(files: Mapping[str, Path]) -> dict[str, Callable[[], None]]:
    """For each network its export into its file. torch is loaded only if there is one.

    Raises:
        BadConfig: torchvision is not installed, or has no such network.
    """
    if not files:
        return {}
    require_installed("torchvision", next(iter(files)))
    from toolchain.bench.torchvision_networks import export_network, parse_network

    return {name: partial(export_network, parse_network(name), file) for name, file in files.items()}


def _here(name: str, runs: Path) -> Path:
    if not name.startswith(RUN):
        return Path(name)
    run = Run(runs / name.removeprefix(RUN))
    read_manifest(run)  # the file must be the exported one
    return run.onnx
