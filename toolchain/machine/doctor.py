"""`nastool doctor`: what works on this machine, and how to make the rest work."""

from collections.abc import Callable
from importlib import metadata

from exporters import backends
from exporters.backends.onnxruntime import CUDA
from exporters.backends.onnxruntime import Backend as OnnxRuntime
from exporters.backends.tensorrt import Backend as TensorRT
from exporters.cuda import memory
from exporters.devices.attached import attached
from exporters.remote.address import is_remote
from latency_db.errors import LatencyDbError
from latency_db.store import open_store
from latency_db.where import exists, shown
from toolchain.machine.remote import Diagnosis, examine_remote
from toolchain.training import fashion_mnist

OUR_PACKAGES = ("cli", "toolchain", "exporters", "latency_db")


def examine(db: str, device: str = "cpu") -> tuple[Diagnosis, ...]:
    """Examine devices, backends, data sets, the latency table and the installation.

    Args:
        device: also examined if it is remote.

    Raises:
        UnknownDevice: it is not a valid address.
    """
    remote = examine_remote(device) if is_remote(device) else ()
    return (*remote, *_devices(), *_backends(), _torch_gpu(), *_data(), _table(db), _installation())


def _devices() -> list[Diagnosis]:
    return [Diagnosis(f"device {device.name}", True, f"{device.model}, {device.cores} cores") for device in attached()]


def _backends() -> list[Diagnosis]:
    diagnoses = []
    for name in backends.names():
        backend = backends.load(name)
        reason = backend.unavailable_reason()
        diagnoses.append(
            Diagnosis(f"backend {name}", reason is None, reason or f"{backend.version()}, {backend.provider}")
        )
    reason = OnnxRuntime(CUDA).unavailable_reason()
    diagnoses.append(Diagnosis(f"backend onnxruntime on a GPU ({CUDA})", reason is None, reason or "ready"))
    has_gpu = any(device.kind == "gpu" for device in attached())
    reason = memory.no_graphs_reason() or (
        None if has_gpu else "there is no NVIDIA GPU with its driver. Use a machine that has both"
    )
    diagnoses.append(Diagnosis("CUDA graphs", reason is None, reason or f"launched through {memory.available()}"))
    for module in ("tensorrt", "tensorrt_rtx"):
        builder = TensorRT(module)
        reason = builder.build_unavailable_reason()
        diagnoses.append(Diagnosis(f"building engines with {module}", reason is None, reason or builder.version()))
    return diagnoses


def _torch_gpu() -> Diagnosis:
    import torch

    if torch.cuda.is_available():
        return Diagnosis("training on a GPU", True, torch.cuda.get_device_name())
    reason = "torch sees no NVIDIA GPU, so training runs on the CPU. Use a machine with one and its driver"
    return Diagnosis("training on a GPU", False, reason)


def _data() -> list[Diagnosis]:
    folder = fashion_mnist.find()
    remedy = "not available. Run apt-get install dataset-fashion-mnist (nastool quickstart tries it)"
    return [
        Diagnosis("data digits", True, "comes with scikit-learn"),
        Diagnosis("data fashion-mnist", folder is not None, str(folder or remedy)),
    ]


def _table(db: str) -> Diagnosis:
    what = f"latency table {shown(db)}"
    return _tried(what, lambda: _describe(db) if exists(db) else None)


def _describe(db: str) -> str:
    with open_store(db) as store:
        targets = store.targets()
    return (
        "; ".join(
            f"{'estimate of ' if target.estimate else ''}{target.device_model}, {target.backend}, "
            f"batch {target.batch}: {rows} records"
            for target, rows in targets
        )
        or "empty"
    )


def _tried(what: str, describe: Callable[[], str | None]) -> Diagnosis:
    try:
        described = describe()
        return Diagnosis(what, described is not None, described or "nothing measured yet. Run nastool profile")
    except LatencyDbError as problem:
        return Diagnosis(what, False, str(problem))


def _installation() -> Diagnosis:
    """Check that no other distribution installs packages of the same names, which are common words."""
    owners = metadata.packages_distributions()
    rivals = {name: sorted(set(owners.get(name, [])) - {"nastool"}) for name in OUR_PACKAGES}
    clashes = [f"{name} also comes from {', '.join(others)}" for name, others in rivals.items() if others]
    detail = f"{'; '.join(clashes)}. Install nastool into a separate environment" if clashes else "no clash"
    return Diagnosis("installation", not clashes, detail)
