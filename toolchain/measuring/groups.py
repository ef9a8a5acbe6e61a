"""Files in groups that fit in the memory of a device together.

Files of one group are loaded and timed in the same rounds. A large profile has hundreds of files, and a GPU may hold
only some of them; a remote device is often a small board. The groups depend on the files and on the device's total
memory alone, so that a measurement that was killed continues with the same groups.
"""

from collections.abc import Mapping

from exporters.backends import LimitedMemory
from exporters.graph.model import as_model
from toolchain.measuring.target import ReadyTarget
from toolchain.measuring.timed_file import TimedFile

SHARE = 0.5  # of a device's memory: estimates are rough, and other programs use the rest


def memory_for_files(target: ReadyTarget) -> int | None:
    """Bytes that the files of a group may take together; None if there is no limit."""
    if isinstance(target.backend, LimitedMemory) and target.backend.memory_bytes is not None:
        return int(SHARE * target.backend.memory_bytes)
    device = target.device
    if device is None or not device.memory_bytes or (device.kind != "gpu" and device.remote is None):
        return None
    return int(SHARE * device.memory_bytes)


def groups_of(files: Mapping[str, TimedFile]) -> list[dict[str, TimedFile]]:
    """The files in as few groups as needed, in their order; a file that is too large alone is a group.

    The smallest device's memory counts if the files have several.
    """
    limits = [limit for file in files.values() if (limit := memory_for_files(file.target)) is not None]
    if not limits:
        return [dict(files)]
    limit = min(limits)
    groups: list[dict[str, TimedFile]] = [{}]
    taken = 0
    for key, file in files.items():
        needed = as_model(file.file).footprint.at(file.target.target.batch)
        if groups[-1] and taken + needed > limit:
            groups.append({})
            taken = 0
        groups[-1][key] = file
        taken += needed
    return groups
