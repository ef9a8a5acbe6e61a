"""The requests that a device answers; each is a method of `Agent`, and its arguments are those of the method."""

from __future__ import annotations

import errno
import json
import os
import sys
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from exporters.agent.compiled import Runs, SimulatedSession, compile_file
from exporters.agent.file_cache import ONNX, FileCache, device_folder
from exporters.agent.lock_file import LockFile, lock_path
from exporters.agent.machine import conditions, this_machine
from exporters.agent.memory import PeakMemory, resident
from exporters.agent.simulated import FakeSettings, SimulatedDevice
from exporters.errors import ExporterError

SPEED_VARIABLE = "NASTOOL_SIMULATED_SPEED"  # factor on the speed of the simulated device (the backend fake)
FULL = (errno.ENOSPC, errno.EDQUOT)
REQUESTS = frozenset(
    {"hello", "conditions", "lock", "unlock", "has", "put", "simulate", "load", "time", "run", "close", "modules"}
    | {"gpus", "provider", "tensorrt", "build", "plan", "load_engine"}
)
Reply = dict[str, Any]


class Agent:
    """What the device holds: files, sessions, its lock and the clock of its simulated device.

    Args:
        sources: of the modules that were sent; `modules` adds further ones.
    """

    def __init__(self, sources: dict[str, str]) -> None:
        self.lock_file: LockFile | None = None
        self._sources = sources
        self._files = FileCache(device_folder())
        self._sessions: dict[int, Runs] = {}
        self._simulated = SimulatedDevice(FakeSettings())
        self._speed = float(os.environ.get(SPEED_VARIABLE) or 1.0)

    def answer(self, request: Reply, raw: bytes) -> tuple[Reply, bytes]:
        """The reply to a request; errors are replies as well."""
        number = request.pop("id", None)
        try:
            name = str(request.pop("do", ""))
            if name not in REQUESTS:
                raise ValueError(f"unknown request {name!r}")
            if raw:
                request["raw"] = raw
            result = getattr(self, name)(**request)
            reply, payload = result if isinstance(result, tuple) else (result, b"")
            return {"id": number, "ok": reply}, payload
        except OSError as problem:
            kind = "disk_full" if problem.errno in FULL else "failed"
            place = problem.filename or self._files.folder
            return {"id": number, "error": kind, "text": f"{place}: {problem.strerror or problem}"}, b""
        except MemoryError:
            return {"id": number, "error": "failed", "text": "the device is out of memory"}, b""
        except Exception as problem:  # onnxruntime's errors have no common base class
            kind = type(problem).__name__ if isinstance(problem, ExporterError) else "failed"
            text = (str(problem).splitlines() or [type(problem).__name__])[0][:2000]
            return {"id": number, "error": kind, "text": text}, b""

    def hello(self) -> Reply:
        """What the device is and has."""
        return {
            **asdict(this_machine()),
            "python": sys.version.split()[0],
            "executable": sys.executable,
            "process": os.getpid(),
            "onnxruntime": _version("onnxruntime"),
            "numpy": _version("numpy"),
            "simulated_speed": self._speed,
            "folder": str(self._files.folder),
            "free_bytes": self._files.free_bytes(),
        }

    def conditions(self, gpu: str = "") -> Reply:
        """The state of the machine now, and the peak memory of this process since the last file was loaded.

        Args:
            gpu: the uuid of a GPU whose state is of interest as well.
        """
        values: Reply = {**conditions(), "peak_rss_mb": round(resident("VmHWM") / 2**20, 1)}
        if gpu:
            from exporters.cuda.gpus import gpu_conditions

            values.update(gpu_conditions(gpu))
        return values

    def lock(self, owner: str, uid: str) -> Reply:
        """Lock the device with this uid, or name the present owner; a lock of another device is freed."""
        path = lock_path(uid)
        if self.lock_file is None or self.lock_file.path != path:
            self.unlock()
            self.lock_file = LockFile(path)
        return {"owner": self.lock_file.acquire(owner)}

    def unlock(self) -> Reply:
        """Free the lock."""
        if self.lock_file is not None:
            self.lock_file.release()
        return {}

    def has(self, digest: str, suffix: str = ONNX) -> Reply:
        """Whether a file is cached."""
        return {"has": self._files.has(digest, suffix)}

    def put(self, digest: str, offset: int, last: bool, suffix: str = ONNX, raw: bytes = b"") -> Reply:
        """Store a part of a file."""
        self._files.append(digest, raw, offset, suffix)
        if last:
            self._files.finish(digest, suffix)
        return {}

    def simulate(self, settings: Mapping[str, Any]) -> Reply:
        """Begin with a simulated device at the start of its clock."""
        self._simulated = SimulatedDevice(FakeSettings(**settings))
        return {}

    def load(self, session: int, digest: str, simulated_ms: float | None = None, **how: Any) -> Reply:
        """Compile a cached file with ONNX Runtime.

        Args:
            how: the arguments of `compile_file`.
        """
        path, memory = str(self._files.path(digest)), PeakMemory()

        def compile_() -> Runs:
            return compile_file(path, **how)

        if simulated_ms is None:
            self._sessions[session] = compile_()
        else:
            self._sessions[session] = SimulatedSession(self._simulated, simulated_ms / self._speed, compile_)
        return {"peak_bytes": 0 if how.get("gpu") is not None else memory.bytes()}

    def time(self, session: int, min_ms: float) -> Reply:
        """Time a session."""
        return asdict(self._sessions[session].time(min_ms))

    def run(self, session: int, inputs: Mapping[str, list[int]], raw: bytes = b"") -> tuple[Reply, bytes]:
        """Run a session on float32 arrays; see `exporters.agent.arrays`."""
        from exporters.agent.arrays import pack, unpack

        shapes, content = pack(self._sessions[session].run(unpack(inputs, raw)))
        return {"outputs": shapes}, content

    def close(self, session: int) -> Reply:
        """Free a session."""
        compiled = self._sessions.pop(session, None)
        if compiled is not None:
            compiled.close()
        return {}

    def modules(self, raw: bytes) -> Reply:
        """Take further modules: those for GPUs are only sent to devices that use one."""
        self._sources.update(json.loads(zlib.decompress(raw)))
        return {}

    def gpus(self) -> Reply:
        """The NVIDIA GPUs of this machine."""
        from exporters.cuda.gpus import clocks_of, gpus

        return {"gpus": [{**asdict(gpu), "clocks": clocks_of(gpu.pci_bus_id)} for gpu in gpus()]}

    def provider(self, name: str, gpu: str) -> Reply:
        """Why a provider of ONNX Runtime cannot run on a GPU."""
        from exporters.cuda.onnxruntime_gpu import unavailable_reason

        return {"reason": unavailable_reason(name, gpu)}

    def tensorrt(self, module: str, gpu: str) -> Reply:
        """The version of TensorRT, and why it cannot be used on a GPU."""
        from exporters.cuda.tensorrt_runtime import TensorrtRuntime

        return TensorrtRuntime(module, gpu, self._files.folder).summary()

    def build(self, spec: Mapping[str, Any]) -> Reply:
        """Build the engine of a cached file, unless it is cached as well."""
        header: Reply = self._engines().build(_engine_spec(spec)).header
        return header

    def plan(self, key: str, offset: int, size: int) -> tuple[Reply, bytes]:
        """A part of the plan of an engine that was built."""
        return {}, self._engines().part(key, offset, size)

    def load_engine(self, session: int, spec: Mapping[str, Any], batch: int) -> Reply:
        """Load an engine: one that was uploaded, or that of a cached file."""
        self._sessions[session] = self._engines().load(_engine_spec(spec), batch)
        return {"peak_bytes": 0}

    def _engines(self) -> Any:
        from exporters.cuda.engine_cache import EngineCache

        return EngineCache(self._files)


def _engine_spec(spec: Mapping[str, Any]) -> Any:
    from exporters.cuda.engine_cache import EngineSpec

    return EngineSpec(**{**spec, "batches": tuple(spec["batches"])})


def _version(package: str) -> str:
    """The version of an installed package; "" if it cannot be imported."""
    try:
        return str(__import__(package).__version__)
    except Exception:  # a package of another architecture fails in its own ways
        return ""
