"""Profiles of several devices at the same time: the files are exported once, and each machine has a thread."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

from exporters.agent.machine import this_machine
from latency_db.store import open_store
from toolchain.config import Config
from toolchain.errors import ON_PURPOSE, BadConfig
from toolchain.measuring.from_config import measurement_plan, require_target
from toolchain.measuring.space_precision import for_space
from toolchain.measuring.target import ReadyTarget
from toolchain.profiling.profiler import (
    Profiled,
    export_files,
    form_on,
    profile,
    profile_files,
    require_profilable,
)
from toolchain.progress import Progress, Task
from toolchain.spaces.core import SearchSpace


def profile_devices(config: Config, space: SearchSpace, progress: Progress) -> dict[str, Profiled]:
    """Profile `space` on each device of the configuration; see `toolchain.profiling.profiler.profile`.

    A device that fails does not stop the others: their records are stored before its error is raised.

    Raises:
        BadConfig: two devices are one target, so that their records could not be distinguished.
        UnknownDevice, DeviceMissing, DeviceUnreachable, BackendUnavailable: a device cannot be used.
        ConnectionLost, DeviceFailed, LatencyDbError: a device or the database failed.
    """
    profiles = config.profile.on_each_device()
    if len(profiles) == 1:
        only = profiles[0]
        return {only.device: profile(config.model_copy(update={"profile": only}), space, progress)}
    require_profilable(space, config.profile.estimate)
    targets = {profile.device: require_target(for_space(profile, space)) for profile in profiles}
    _require_different(targets)
    plan, db = measurement_plan(config), config.profile.db
    with open_store(db), TemporaryDirectory(prefix="nastool-") as folder:
        files = {}
        for form, alike in _by_form(targets.values()).items():
            (place := Path(folder) / form).mkdir()
            files[form] = export_files(space, alike, plan, place, progress)

        def work(device: str) -> Profiled:
            target = targets[device]
            return profile_files(space, target, files[form_on(target)], plan, db, Named(device, progress))

        profiled = _in_parallel(_by_machine(targets), work, progress)
        return {device: profiled[device] for device in targets}


class Named:
    """A progress whose lines begin with the name of a device."""

    def __init__(self, name: str, progress: Progress) -> None:
        self._name = name
        self._progress = progress

    def start(self, title: str, total: int, done: int = 0) -> Task:
        return self._progress.start(f"{self._name}: {title}", total, done)

    def say(self, text: str) -> None:
        self._progress.say(f"{self._name}: {text}")


def _by_form(targets: Iterable[ReadyTarget]) -> dict[str, list[ReadyTarget]]:
    """The targets of each form of files; most often one."""
    forms: dict[str, list[ReadyTarget]] = {}
    for target in targets:
        forms.setdefault(form_on(target), []).append(target)
    return forms


def _require_different(targets: dict[str, ReadyTarget]) -> None:
    for (one, first), (other, second) in combinations(targets.items(), 2):
        if first.target == second.target:
            raise BadConfig(
                f"{one} and {other} are the same target ({first.target.device_model}): their latencies have one table. "
                f"Profile one of them"
            )


def _by_machine(targets: Mapping[str, ReadyTarget]) -> list[list[str]]:
    """The devices of each machine, which are profiled one after the other: they would slow each other down."""
    machines: dict[str, list[str]] = {}
    for name, target in targets.items():
        machine = this_machine() if target.device is None else target.device.machine()
        machines.setdefault(machine.uid, []).append(name)
    return list(machines.values())


def _in_parallel(
    machines: Sequence[Sequence[str]], work: Callable[[str], Profiled], progress: Progress
) -> dict[str, Profiled]:
    """The results of all devices. Threads are daemons, so that Ctrl-C ends the command at once.

    Raises:
        Exception: the first error of a device, after all have ended.
    """
    results: dict[str, Profiled] = {}
    problems: list[BaseException] = []

    def run(devices: Sequence[str]) -> None:
        for device in devices:
            try:
                results[device] = work(device)
            except BaseException as problem:  # raised below, once all threads have ended
                problems.append(problem)

    threads = [Thread(target=run, args=(devices,), daemon=True) for devices in machines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for problem in problems[1:]:
        if isinstance(problem, ON_PURPOSE):
            progress.say(str(problem))
    if problems:
        raise problems[0]
    return results
