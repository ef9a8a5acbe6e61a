"""Measure: profile a space on a device, and check a file against a budget."""

from pathlib import Path
from typing import TYPE_CHECKING

from toolchain.api.space import Space
from toolchain.config import parse_config
from toolchain.progress import Progress, Quiet

if TYPE_CHECKING:
    from toolchain.check.gate import Verdict
    from toolchain.profiling.profiler import Profiled


def profile(space: Space, progress: Progress | None = None, **settings: object) -> "Profiled":
    """Measure every block variant and some whole networks, and store them in the latency table, as `nastool profile`.

    Args:
        settings: keys of `[profile]` in nastool.toml: `device`, `backend`, `batch`, `db`, `rounds`, ...

    Raises:
        BackendUnavailable, DeviceMissing: nothing can be measured here.
    """
    from toolchain.profiling.profiler import profile as run_profile

    flags = {"space": space.name, **{f"profile.{key}": value for key, value in settings.items()}}
    return run_profile(parse_config("", flags, "profile"), space.definition, progress or Quiet())


def check(
    file: str | Path,
    latency: str | None = None,
    baseline: str | Path | None = None,
    progress: Progress | None = None,
    **settings: object,
) -> "Verdict":
    """Measure a file against a budget, or a baseline, or both, as `nastool check`.

    Args:
        file: ONNX file or engine.
        latency: maximum latency of a batch, e.g. "6ms".
        baseline: another build, or the JSON answer of an earlier check.
        settings: keys of `[check]` and `[profile]`: `confidence`, `max_regression`, `batch`, `device`, ...

    Returns:
        `verdict.outcome` is `"pass"`, `"fail"` or `"inconclusive"`.

    Raises:
        BadConfig: neither a limit nor a baseline is given.
    """
    from toolchain.check.gate import check as run_check
    from toolchain.check.requirements import CheckedFile
    from toolchain.config import CheckConfig
    from toolchain.units import parse_latency_ms

    flags = {f"{'check' if key in CheckConfig.model_fields else 'profile'}.{key}": settings[key] for key in settings}
    limit_ms = None if latency is None else parse_latency_ms(latency)
    compared = None if baseline is None else Path(baseline)
    config = parse_config("", flags, "check")
    return run_check(config, CheckedFile(Path(file), limit_ms), compared, progress or Quiet())
