"""`nastool quickstart`: the main job on real data, from nothing to a checked file."""

from typing import TYPE_CHECKING, Any

from cli import console, options

if TYPE_CHECKING:
    from toolchain.config import Config


@options.configured("quickstart", preset="quick")
def quickstart(invocation: options.Invocation, json: options.Json = False) -> None:
    """Profile, train, search under a latency budget, retrain, export and check, in a few minutes on a CPU."""
    from toolchain.training.stages import prepare_torch

    settings = invocation.config.model_copy(update={"run": "quickstart"})
    if "data" not in invocation.given:
        settings = settings.model_copy(update={"data": _data_at_hand()})
    prepare_torch(settings)
    found = _whole_job(settings)
    if json:
        console.answer_json(found)
        return
    console.answer_facts(
        f"found on {found['data']}, for this {found['device']}",
        {
            "architecture": " ".join(found["architecture"]),
            "MACs": f"{found['macs']:,}",
            "latency, predicted": f"{found['latency_ms']:.3f} ms a batch of {settings.profile.batch}",
            "latency, measured": f"{found['measured_latency_ms']:.3f} ms",
            "budget": f"{found['limit_ms']:.3f} ms",
            "hold-out accuracy": f"{found['holdout_accuracy']:.2%} (inherited weights)",
            "test accuracy": f"{found['test_accuracy']:.2%} (retrained)",
            "ONNX file": found["onnx"],
            "all files": found["folder"],
        },
    )


def _data_at_hand() -> str:
    """Fashion-MNIST where it is found or can be had within seconds, else digits."""
    from toolchain.training import fashion_mnist

    folder = fashion_mnist.find()
    if folder is None:
        console.say("Fashion-MNIST is not on this machine; trying to fetch it")
        folder = fashion_mnist.fetch()
    console.say(f"data: Fashion-MNIST from {folder}" if folder else "data: digits (Fashion-MNIST can't be had here)")
    return "fashion-mnist" if folder else "digits"


def _whole_job(settings: "Config") -> dict[str, Any]:
    from toolchain.check.gate import check
    from toolchain.check.judge import Outcome
    from toolchain.errors import CheckFailed
    from toolchain.export.pipeline import export
    from toolchain.nets.checked_space import load_checked_space
    from toolchain.profiling.profiler import profile_if_missing
    from toolchain.runs import open_run
    from toolchain.search.budget import middle_latency_ms
    from toolchain.search.plan import plan_search
    from toolchain.search.search import search
    from toolchain.search.winner import selected
    from toolchain.training.data import load_data
    from toolchain.training.stages import retrain, train_supernet

    space = load_checked_space(settings.space)
    data = load_data(settings.data_name(), space, settings.holdout_per_class, settings.seed)
    with console.progress() as bars:
        console.say("1 of 6: profile the choice blocks on this device")
        profiled = profile_if_missing(settings, space, bars)
        limit_ms = middle_latency_ms(space, profiled.table, settings.seed)
        console.say(f"budget: {limit_ms:.3f} ms, which about half of the space's architectures would meet")
        limited = settings.search.model_copy(update={"latency": (f"{limit_ms:.3f}ms",)})
        settings = settings.model_copy(update={"search": limited})
        plan = plan_search(settings, space)
        with open_run(settings, make=True) as run:
            console.say("2 of 6: train the supernet")
            train_supernet(settings, space, data, run, bars)
            console.say("3 of 6: search")
            best = search(settings, space, plan, data, run, bars).best
            console.say("4 of 6: retrain the winner")
            chosen = selected(best, space)
            retrained = retrain(settings, space, chosen.architecture, data, run, bars)
            console.say("5 of 6: export")
            manifest = export(settings, space, chosen, data, run, bars)
            console.say("6 of 6: check")
            verdict = check(settings, run.onnx, limit_ms, None, bars, best.measured_anchor_ms)
    if verdict.outcome is Outcome.FAIL:
        raise CheckFailed("; ".join(verdict.problems))
    for problem in verdict.problems:
        console.say(problem)
    return {
        **best.model_dump(mode="json", include={"architecture", "macs", "params", "latency_ms", "holdout_accuracy"}),
        "measured_latency_ms": verdict.latency_ms,
        "limit_ms": limit_ms,
        "test_accuracy": retrained.test_accuracy,
        "parity": manifest.parity.model_dump(mode="json"),
        "data": data.name,
        "device": profiled.target.device_model,
        "onnx": str(run.onnx),
        "folder": str(run.folder),
    }
