"""The backends of a remote device, by the names of the local ones."""

from exporters import backends
from exporters.agent.session import CPU
from exporters.backends import Backend
from exporters.backends.fake import Backend as Fake
from exporters.backends.onnxruntime import TENSORRT
from exporters.errors import BackendUnavailable
from exporters.remote.connection import Connection
from exporters.remote.onnxruntime import OnnxRuntime
from exporters.remote.simulated import SimulatedDevice
from exporters.remote.tensorrt import TensorRT

PROVIDERS = {"onnxruntime": CPU, "onnxruntime_tensorrt": TENSORRT}
MODULES = ("tensorrt", "tensorrt_rtx")


def remote_backend(connection: Connection, name: str) -> Backend:
    """The backend `name` on a remote device; on its CPU, or its first GPU for one that runs on GPUs alone.

    Raises:
        BackendUnavailable: it does not run on remote devices.
        UnknownBackend: there is none of this name.
    """
    if name in PROVIDERS:
        return OnnxRuntime(connection, PROVIDERS[name], None if PROVIDERS[name] == CPU else "")
    if name in MODULES:
        return TensorRT(connection, name)
    settings = backends.load(name)
    if isinstance(settings, Fake):
        return SimulatedDevice(connection, settings)
    raise BackendUnavailable(
        f"the backend {name.partition(':')[0]} does not run on remote devices; they measure with "
        f"{', '.join((*PROVIDERS, *MODULES))} or fake. Give one of them as --backend, or install nastool on "
        f"{connection.address.machine}"
    )
