"""Searches for several devices on one supernet: a plan for each device, named after it."""

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, count

from exporters.remote.address import ON_MACHINE, is_remote
from toolchain.config import Config, ProfileConfig
from toolchain.costs.core import Budget
from toolchain.counting.feasible import FeasibleSet
from toolchain.errors import BadConfig, BudgetInfeasible
from toolchain.search.plan import SearchPlan, SharedDevice, plan_search
from toolchain.search.verify import latency_limit
from toolchain.spaces.core import SearchSpace


def plan_fleet(config: Config, space: SearchSpace) -> tuple[SearchPlan, ...]:
    """The plan of each device of the configuration; one plan for all of them if they share a network.

    Raises:
        BadConfig: several devices are combined with several limits of one cost; a shared network is searched for one
            device, without a latency limit, or with finalists.
        BadUnit, MissingLatency, BudgetInfeasible, UnknownDevice, BackendUnavailable, DeviceUnreachable: the search is
            impossible; of several devices the message names the one.
    """
    profiles = config.profile.on_each_device()
    if config.search.shared:
        _require_shareable(config, len(profiles))
    if len(profiles) == 1:
        return (plan_search(config.model_copy(update={"profile": profiles[0]}), space),)
    names = device_names([profile.device for profile in profiles])
    plans = [_plan(config, profile, space) for profile in profiles]
    if config.search.shared:
        return (_shared(plans, names, space),)
    return tuple(_renamed(plan, name) for plan, name in zip(plans, names, strict=True))


def _require_shareable(config: Config, devices: int) -> None:
    if devices == 1:
        raise BadConfig("a shared network needs several devices. Give --device for each, or leave out --shared")
    if not config.search.latency:
        raise BadConfig("--shared holds a latency limit on every device. Give --latency, or leave out --shared")
    if config.search.finalists:
        raise BadConfig("--shared cannot be combined with --finalists. Leave out one of them")


def _plan(config: Config, profile: ProfileConfig, space: SearchSpace) -> SearchPlan:
    try:
        plan = plan_search(config.model_copy(update={"profile": profile}), space)
    except BudgetInfeasible as problem:
        raise BudgetInfeasible(f"{profile.device}: {problem}") from None
    if len(plan.budgets) > 1:
        raise BadConfig(
            f"{len(plan.budgets)} limits for each of several devices cannot be combined. Give one limit of each cost, "
            f"or one --device"
        )
    return replace(plan, device=profile.device)


def _renamed(plan: SearchPlan, name: str) -> SearchPlan:
    ((named, feasible),) = plan.budgets
    return replace(plan, budgets=((replace(named, name=f"{named.name}@{name}"), feasible),))


def _shared(plans: Sequence[SearchPlan], names: Sequence[str], space: SearchSpace) -> SearchPlan:
    """The plan of the first device with the limits of all.

    Raises:
        BudgetInfeasible: no architecture meets all of them.
    """
    first, *others = plans
    ((named, _),) = first.budgets
    shared = tuple(_shared_device(plan, name) for plan, name in zip(others, names[1:], strict=True))
    budget = Budget((*named.budget.limits, *(device.limit for device in shared)))
    feasible = FeasibleSet(space, budget)
    return replace(first, budgets=((replace(named, name=f"{named.name}@all", budget=budget), feasible),), shared=shared)


def _shared_device(plan: SearchPlan, name: str) -> SharedDevice:
    ((named, _),) = plan.budgets
    limit, model = latency_limit(named.budget), plan.costs.latency
    if limit is None or model is None or plan.ready is None:
        raise BadConfig(f"nothing can be measured on {plan.device}, so no budget can be shared with it")
    own = replace(limit, cost=replace(limit.cost, name=f"{limit.cost.name}@{name}"))
    return SharedDevice(plan.device, own, model, plan.ready)


def device_names(devices: Sequence[str]) -> list[str]:
    """A short name for each device, for folders: the host of an address, and its device if one is named."""
    names: list[str] = []
    for number, device in enumerate(devices, 1):
        name = _short(device)
        numbered = (f"{name or 'device'}-{suffix}" for suffix in count(number))
        names.append(next(free for free in chain([name] if name else [], numbered) if free not in names))
    return names


def _short(device: str) -> str:
    if not is_remote(device):
        return device
    host = re.match(r"ssh://(?:[^@/]*@)?(\[[^\]]*\]|[^:/#]+)", device)
    on_machine = ON_MACHINE.search(device)
    name = re.sub(r"[^\w.-]+", "-", host[1]).strip("-.") if host else ""
    return f"{name}-{on_machine[1]}".lstrip("-") if on_machine else name
