"""`nastool export`: write the files that ship."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import console, options
from cli.configured import configured
from cli.invocation import Invocation, with_fitted_space

if TYPE_CHECKING:
    from toolchain.export.manifest import Manifest
    from toolchain.training.data import Data


@configured("export")
def export(
    invocation: Invocation,
    arch: options.Arch = None,
    budget: options.BudgetName = None,
    onnx: Annotated[
        bool, typer.Option("--onnx", hidden=True, help="No effect: the ONNX file is always written.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder to write. Default: export/ of the run, or export/BUDGET/ with --budget."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Export the retrained winner as ONNX and as engines, verify them against torch, and measure them.

    Exit code 0: it computes the same and is within its budget. 1: it does not, or is over the budget; nothing is
    written.
    """
    from cli.early_checks import check_arguments

    options.require_one(arch, budget)
    config = with_fitted_space(invocation).config
    check_arguments(config, of_run=True)
    from toolchain.export.pipeline import export as run_export
    from toolchain.nets.checked_space import configured_space
    from toolchain.runs import open_run, run_of
    from toolchain.search.winner import select_architecture
    from toolchain.training.data import configured_data
    from toolchain.training.job import Job
    from toolchain.training.torch_setup import prepare_torch

    prepare_torch(config)
    space = configured_space(config)
    chosen = select_architecture(arch, budget, space, run_of(config))
    with console.progress() as bars:
        data = configured_data(config, space, bars)
    chosen.require_data(data.name, data.digest)
    options.say_which_winner(arch, budget, run_of(config))
    with open_run(config, stage="export") as folder, console.progress() as bars:
        folder = folder.shipping(budget, out)
        manifest = run_export(Job(config, space, data, folder, bars), chosen)
    if json:
        console.answer_json(manifest.model_dump(mode="json"))
    else:
        exported = folder.onnx.parent if out is None else out
        _answer(manifest, exported, data, space.quantizes(chosen.architecture))
        if limit_ms := chosen.limits.get("latency_ms"):
            named = (str(exported / folder.onnx.name), "--latency", f"{limit_ms:g}ms")
            words = options.selected(None, budget) if out is None else named
            console.say(f"Next: {invocation.hint('check', *words)}")
        else:
            console.say(
                f"no limit on latency to check. Compare a later build with this one: nastool check NEW.onnx --baseline "
                f"{exported / folder.onnx.name}"
            )


def _answer(manifest: "Manifest", folder: Path, data: "Data", low_bit: bool) -> None:
    from toolchain.training.accuracy_interval import accuracy_text
    from toolchain.units import format_ms

    predicted = manifest.costs.latency_ms
    console.answer_facts(
        "exported",
        {
            "folder": folder,
            "test accuracy": accuracy_text(manifest.test_accuracy, len(data.test.labels)),
            "hold-out accuracy": f"{accuracy_text(manifest.holdout_accuracy, len(data.holdout))} in torch",
            f"latency, {'estimate' if manifest.estimate else 'predicted'}": (
                "none in the table" if predicted is None else format_ms(predicted)
            ),
            **(_bits(manifest) if low_bit else {}),
            **{name: _line(name, manifest) for name in manifest.models},
            **{name: _engine_line(name, manifest) for name in manifest.engines},
        },
    )


def _line(name: str, manifest: "Manifest") -> str:
    model, parity = manifest.models[name], manifest.models[name].parity
    counts = ", ".join(f"{count} in {precision}" for precision, count in model.convolutions.items())
    latency_ms = model.measured_latency_ms
    took = "not measured" if latency_ms is None else f"{latency_ms:.3f} ms a batch of {manifest.target.batch}"
    return (
        f"{took}, {manifest.files[name].bytes / 1e6:.2f} MB, hold-out {model.holdout_accuracy:.2%}; "
        f"top-1 agreement {parity.top1_agreement:.2%}, relative error {parity.relative_error:.1e} "
        f"on {parity.images} images at batch {', '.join(map(str, parity.batches))}; "
        f"convolutions in ONNX Runtime: {counts}"
    )


def _engine_line(name: str, manifest: "Manifest") -> str:
    from toolchain.units import format_ms

    engine = manifest.engines[name]
    least, tuned, most = engine.batches
    batches = f"batch {tuned}" if least == most else f"batches {least} to {most}, tuned for {tuned}"
    built = (
        f"{manifest.files[name].bytes / 1e6:.2f} MB, from {engine.built_from} by {engine.built_by} for "
        f"{_device_of(engine.capability)}, {batches}{_convolutions(name, manifest)}"
    )
    if engine.parity is None or engine.measured_latency_ms is None:
        return f"{built}; not verified: {engine.not_verified}"
    beside = "" if engine.onnx_latency_ms is None else f", {engine.built_from} {format_ms(engine.onnx_latency_ms)}"
    return (
        f"{format_ms(engine.measured_latency_ms)} a batch of {tuned}{beside} in the same rounds; "
        f"hold-out {engine.holdout_accuracy:.2%}, top-1 agreement {engine.parity.top1_agreement:.2%}, relative error "
        f"{engine.parity.relative_error:.1e} on {engine.parity.images} images; {built}"
    )


def _convolutions(name: str, manifest: "Manifest") -> str:
    """`, 36 of 36 convolutions int8`; the builder may not list a convolution that it fused with other layers."""
    engine = manifest.engines[name]
    total = sum(manifest.models[engine.built_from].convolutions.values())
    listed = ", ".join(
        f"{count} of {total} convolutions {precision}" for precision, count in engine.convolutions.items()
    )
    return f", {listed}" if listed else ""


def _device_of(capability: str) -> str:
    return "this device" if capability == "current" else f"compute capability {capability}"


def _bits(manifest: "Manifest") -> dict[str, str]:
    """Of a network of 1 to 4 bits, what the files' bytes and milliseconds do not show."""
    from toolchain.units import format_binary

    own = manifest.models["model.onnx"].precision
    files = "int8 containers: the latency limit was met in them" if own.startswith("int8") else "exact, as trained"
    return {
        "BitOps": format_binary(manifest.costs.bitops),
        "packed at its bits": f"{manifest.costs.weight_bits / 8e6:.2f} MB; the files hold 8 bits a weight",
        "model.onnx holds": files,
        "latency": "that of 8 bits or of float32: below 8 bits nothing runs faster on these runtimes",
    }
