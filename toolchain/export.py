"""`nastool export`: the retrained winner as an ONNX file that computes what was trained."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from exporters.backends import CompileSpec
from exporters.manifest import write_manifest
from exporters.parity import Parity, compare, require
from exporters.to_onnx import export_onnx, graph_hash
from toolchain.config import Config
from toolchain.errors import BadConfig, MissingStage
from toolchain.files import unwritable
from toolchain.nets.network import Network
from toolchain.profiling.measure import measure
from toolchain.profiling.stack import context_of, usable_backend
from toolchain.progress import Progress
from toolchain.runs import Chosen, Run
from toolchain.search.budget import load_costs
from toolchain.spaces.core import SearchSpace
from toolchain.training.accuracy import fixed_batches
from toolchain.training.data import Data
from toolchain.training.stages import load_retrained

PARITY_IMAGES = 256
PARITY_BATCHES = (1, 2, 32)


def export(
    config: Config, space: SearchSpace, chosen: Chosen, data: Data, run: Run, progress: Progress
) -> dict[str, Any]:
    """Write export/model.onnx and its manifest, once the file is proven to compute what torch does.

    Returns:
        the manifest.

    Raises:
        MissingStage, BadCheckpoint: nothing was retrained, or for another space.
        BadConfig: it is quantized.
        ParityFailed: file and torch differ on real images; nothing is written.
    """
    arch = chosen.architecture
    if any(choice.quantized for choice in space.choices_of(arch)):
        raise BadConfig("networks with layers of 1 to 4 bits can't be exported yet. Export one of float layers")
    net = load_retrained(space, arch, data, run)
    result = run.read(run.retrain(arch) / "result.json", "retrain")
    costs = load_costs(config, space, need_latency=False).of(arch)
    context = context_of(config.profile)
    about = {
        "space": space.name,
        "architecture": list(arch.choices),
        "costs": costs,
        "classes": list(data.classes),
        "preprocessing": data.preprocessing.as_dict(),
    }
    try:
        run.onnx.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=run.onnx.parent) as folder:  # the same disk, so that a rename is enough
            file, manifest_file = Path(folder) / run.onnx.name, Path(folder) / run.manifest.name
            metadata = {f"nastool.{key}": json.dumps(value) for key, value in about.items()}
            export_onnx(net, torch.zeros(2, *space.input_shape), file, metadata)
            parity = prove(net, file, data, config)
            latency_ms = None
            if context.estimate:
                progress.say(f"ESTIMATE: the file is not measured, since {config.profile.device} is not here")
            else:
                latency_ms = measure({"model": file}, config.profile, config.seed, progress, "measure the file")[
                    "model"
                ]
            manifest = {
                **about,
                "test_accuracy": result["test_accuracy"],
                "limits": dict(chosen.limits),
                "measured_latency_ms": latency_ms,
                "estimate": context.estimate,
                "context": context.as_dict(),
                "graph_hash": graph_hash(file),
                "parity": {
                    "relative_error": parity.relative_error,
                    "top1_agreement": parity.top1_agreement,
                    "images": parity.images,
                    "batches": list(parity.batches),
                },
            }
            write_manifest(manifest_file, manifest, files=[file])
            run.manifest.unlink(missing_ok=True)  # a manifest never stands beside another file than its own
            file.replace(run.onnx)
            manifest_file.replace(run.manifest)
    except OSError as problem:
        raise unwritable(run.onnx, problem) from problem
    return manifest


def prove(net: Network, file: Path, data: Data, config: Config) -> Parity:
    """Compare file and network on hold-out images at several batch sizes.

    Raises:
        ParityFailed: they differ.
    """
    every = max(1, len(data.holdout) // PARITY_IMAGES)  # indices are sorted by file, so by class: take all classes
    pixels, _ = next(fixed_batches(data.train, data.holdout[::every][:PARITY_IMAGES], PARITY_IMAGES))
    images = data.preprocessing(pixels).contiguous().numpy()
    compiled = usable_backend(config.profile).compile(file, CompileSpec(batch=1, threads=config.profile.threads))
    try:
        parity = compare(net, compiled, images, batches=PARITY_BATCHES)
    finally:
        compiled.close()
    require(parity)
    return parity


def read_manifest(run: Run) -> dict[str, Any]:
    """What `export` wrote.

    Raises:
        MissingStage: nothing was exported.
    """
    if not run.onnx.exists():
        raise MissingStage(f"{run.onnx} is not there yet. Type nastool export --run {run.folder.name} first")
    return run.read(run.manifest, "export")
