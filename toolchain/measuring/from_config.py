"""What a command measures on and how, resolved once from its configuration.

Commands call these functions at their entry and pass the results down; no other module here sees a configuration.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from exporters.errors import BackendUnavailable
from latency_db.target import Target
from latency_db.where import exists
from toolchain.config import Config, ProfileConfig
from toolchain.costs.regression import REGRESSION
from toolchain.measuring.plan import MeasurementPlan
from toolchain.measuring.space_precision import for_space
from toolchain.measuring.target_spec import TargetSpec
from toolchain.spaces.core import SearchSpace

if TYPE_CHECKING:
    from toolchain.measuring.target import ReadyTarget  # imports runtimes; commands without a table need none


def target_spec(profile: ProfileConfig) -> TargetSpec:
    """The settings that select the target to measure on.

    Raises:
        BackendUnavailable: nothing can be measured with `--target ID`.
    """
    if profile.target:
        raise BackendUnavailable(
            f"nothing can be measured with --target {profile.target}: its device may not be attached here. "
            f"Omit --target to measure"
        )
    return TargetSpec(
        profile.device, profile.backend, profile.precision, profile.batch, profile.threads, profile.estimate
    )


def measurement_plan(config: Config) -> MeasurementPlan:
    """The settings of the measurement."""
    profile = config.profile
    return MeasurementPlan(profile.rounds, profile.min_ms, profile.quiet_timeout_s, profile.networks, config.seed)


def require_target(profile: ProfileConfig, precision: str = "") -> "ReadyTarget":
    """The target to measure on, or to estimate.

    Args:
        precision: in place of the configured one.

    Raises:
        UnknownDevice, DeviceMissing, BadConfig, BackendUnavailable: see `target_spec` and `ready_target`.
    """
    from toolchain.measuring.target import ready_target

    spec = target_spec(profile)
    return ready_target(replace(spec, precision=precision) if precision else spec)


def resolve_target(profile: ProfileConfig, space: SearchSpace) -> "tuple[Target, ReadyTarget | None]":
    """The target of these settings for networks of `space`, and what measures on it.

    Returns:
        the target, and None where nothing is measured: for `--target ID`, and for the backend `regression`.

    Raises:
        UnknownTarget: the table has no target with this id.
        BackendUnavailable, UnknownDevice, DeviceMissing, BadConfig: see `ready_target` and `for_space`.
    """
    from toolchain.measuring.target import ready_target
    from toolchain.measuring.target_identity import regression_target

    profile = for_space(profile, space)
    if profile.target:
        from latency_db.store import open_store

        with open_store(profile.db) as store:
            return store.target(profile.target), None
    if profile.backend == REGRESSION and not profile.estimate:
        return regression_target(profile.device, profile.precision, profile.batch), None
    ready = ready_target(target_spec(profile))
    return ready.target, ready


def table_target(profile: ProfileConfig, space: SearchSpace, need_latency: bool = False) -> Target | None:
    """The target whose records are read; None if no latency is needed and there is no table.

    Raises:
        UnknownTarget, BackendUnavailable, UnknownDevice, DeviceMissing, BadConfig: see `resolve_target`.
    """
    profile = for_space(profile, space)  # refused also where there is no table
    return resolve_target(profile, space)[0] if need_latency or exists(profile.db) else None
