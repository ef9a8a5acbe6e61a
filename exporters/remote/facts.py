"""What a remote device says of its GPUs and of what runs on them: asked once, since it is part of a target."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import BaseModel

from exporters.errors import DeviceFailed
from exporters.remote.messages import GpuReply, Gpus, Nothing, ProviderState, TensorrtState, differences
from exporters.remote.sources import gpu_modules

Fact = TypeVar("Fact", Gpus, ProviderState, TensorrtState)


@dataclass
class FactCache:
    """What the present process on a device has said by each request, and whether it has the code for GPUs."""

    answers: dict[tuple[str, tuple[tuple[str, str], ...]], BaseModel] = field(default_factory=dict)
    has_modules: bool = False


class GpuFacts:
    """Facts of one device.

    Args:
        ask: `Connection.ask`. The connection does not keep this object: a cycle would keep the connection open.
        known: what it keeps instead.
    """

    def __init__(self, ask: Callable[..., BaseModel], known: FactCache) -> None:
        self._ask = ask
        self._known = known

    def gpus(self) -> tuple[GpuReply, ...]:
        """The NVIDIA GPUs of the device, in the order of its driver."""
        return self._fact("gpus", Gpus).gpus

    def gpu(self, uuid: str) -> GpuReply:
        """The GPU with this uuid.

        Raises:
            DeviceFailed: there is none any more.
        """
        for gpu in self.gpus():
            if gpu.uuid == uuid:
                return gpu
        raise DeviceFailed(f"the device has no GPU {uuid} any more. Run nastool doctor with it")

    def provider(self, name: str, gpu: str) -> ProviderState:
        """The state of a provider of ONNX Runtime on the GPU at a PCI bus id."""
        return self._fact("provider", ProviderState, name=name, gpu=gpu)

    def tensorrt(self, module: str, gpu: str) -> TensorrtState:
        """The state of TensorRT on the GPU at a PCI bus id."""
        return self._fact("tensorrt", TensorrtState, module=module, gpu=gpu)

    def require_modules(self) -> None:
        """Send the code for GPUs, once."""
        if not self._known.has_modules:
            self._ask("modules", Nothing, gpu_modules())
            self._known.has_modules = True

    def ask_again(self) -> tuple[str, ...]:
        """Ask a new process on the device for everything that was asked before; returns what differs, in words."""
        before, self._known.answers, self._known.has_modules = self._known.answers, {}, False
        changed: list[str] = []
        for (do, arguments), answer in before.items():
            now = self._fact(do, type(answer), **dict(arguments))  # type: ignore[type-var]  # each fact has a reply of one type
            changed += differences(answer, now)
        return tuple(changed)

    def _fact(self, do: str, kind: type[Fact], **arguments: str) -> Fact:
        key = do, tuple(sorted(arguments.items()))
        answers = self._known.answers
        if key not in answers:
            self.require_modules()
            answers[key] = self._ask(do, kind, **arguments)
        answer = answers[key]
        assert isinstance(answer, kind)
        return answer
