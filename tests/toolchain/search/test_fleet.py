"""Several devices: their names, and one network that is within the budget on all of them."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from latency_db.target import Target
from toolchain.config import Config, parse_config
from toolchain.costs.core import Budget, Limit, TableCost
from toolchain.costs.latency import LatencyModel
from toolchain.errors import BadConfig, BudgetInfeasible
from toolchain.measuring.network import Measurement
from toolchain.search.candidate_timing import Measure
from toolchain.search.fleet import device_names, plan_fleet
from toolchain.search.shared_limit import SharedLimit
from toolchain.search.strategies import Scored
from toolchain.search.verify import Continuation, Verified, Verifier, with_latency_bounds
from toolchain.spaces.core import Architecture, Choice, ChoiceBlock, Head, SearchSpace, Stem

LIMIT_MS = 10.0
Figures = Mapping[str, tuple[float, float]]  # of each choice: predicted and measured ms


@pytest.mark.parametrize(
    ("devices", "names"),
    [
        (["cpu", "ssh://pi@10.0.0.7:22/~/venv/bin/python"], ["cpu", "10.0.0.7"]),
        (["ssh://a@board", "ssh://b@board"], ["board", "board-2"]),
        (["ssh://a@board", "ssh://a@board/~/venv/bin/python#gpu"], ["board", "board-gpu"]),
        (["cmd:docker exec -i box python3#gpu1", "cmd:a"], ["gpu1", "device-2"]),
        (["cmd:python3", "cmd:docker exec -i b python3"], ["device-1", "device-2"]),
        (["ssh://a@pi", "ssh://pi-3", "ssh://b@pi"], ["pi", "pi-3", "pi-4"]),
        (["ssh://[fe80::1]", "ssh://../x"], ["fe80-1", "device-2"]),
    ],
)
def test_devices_have_short_names_for_folders(devices: list[str], names: list[str]) -> None:
    assert device_names(devices) == names


def configured(**tables: object) -> Config:
    return parse_config("", tables, "test")


@pytest.mark.parametrize(
    ("profile", "search", "reason"),
    [
        ({}, {"latency": "8ms", "shared": True}, "a shared network needs several devices"),
        ({"devices": ["cpu", "ssh://a"]}, {"macs": "8M", "shared": True}, "holds a latency limit on every device"),
        (
            {"devices": ["cpu", "ssh://a"]},
            {"latency": "8ms", "shared": True, "finalists": 2},
            "--shared cannot be combined with --finalists",
        ),
    ],
)
def test_what_cannot_be_shared(
    tiny_space: SearchSpace, profile: dict[str, object], search: dict[str, object], reason: str
) -> None:
    with pytest.raises(BadConfig, match=reason):
        plan_fleet(configured(profile=profile, search=search), tiny_space)


@pytest.mark.parametrize(
    ("profile", "reason"),
    [
        ({"devices": ["cpu", "cpu"]}, "a device is named twice"),
        ({"devices": ["cpu", "ssh://a"], "estimate": True}, "several devices are measured, not estimated"),
        ({"devices": ["cpu", "ssh://a"], "target": "0" * 16}, "several devices are measured, not estimated"),
    ],
)
def test_devices_that_are_refused(profile: dict[str, object], reason: str) -> None:
    with pytest.raises(BadConfig, match=reason):
        configured(profile=profile)


def test_commands_that_take_one_device_use_the_first() -> None:
    profile = configured(profile={"devices": ["ssh://a", "cpu"]}).profile
    assert profile.device == "ssh://a"
    assert [each.device for each in profile.on_each_device()] == ["ssh://a", "cpu"]
    assert [each.device for each in configured(profile={"device": "ssh://b"}).profile.on_each_device()] == ["ssh://b"]


class World:
    """One block whose choices are the candidates, best first, on two devices."""

    def __init__(self, target: Target, here: Figures, there: Figures) -> None:
        block = ChoiceBlock(8, 8, 8, 1, tuple(Choice(name) for name in here))
        self.space = SearchSpace("bench", "shufflenet_v2", 1, 8, 10, Stem(8, 1), (block,), Head(8))
        self.measured: list[str] = []
        self.here, self.there = (self._model(figures, target) for figures in (here, there))
        upper = replace(self.there.upper, name="latency_ms@b")
        self.other = SharedLimit(Limit(upper, LIMIT_MS), self.there, self._measure(there, "b"))
        self.measure = self._measure(here, "a")
        self.budget = Budget((Limit(self.here.upper, LIMIT_MS), self.other.limit))
        self.scored = [Scored(self.arch(name), 0.9 - n / 100, 0, "evolution") for n, name in enumerate(here)]

    def arch(self, name: str) -> Architecture:
        return Architecture("bench", (name,))

    def _model(self, figures: Figures, target: Target) -> LatencyModel:
        parts = TableCost("latency_ms", "ms", 0.0, ({name: ms for name, (ms, _) in figures.items()},))
        first = next(iter(figures))
        known = {Architecture(f"elsewhere {n}", (first,)): figures[first][0] for n in range(60)}
        return LatencyModel(parts, known, target)

    def _measure(self, figures: Figures, device: str) -> Measure:
        def measure(architecture: Architecture, time: int) -> Measurement:
            (name,) = architecture.choices
            self.measured.append(f"{name} on {device}")
            return Measurement(figures[name][1], figures[name][1])

        return measure

    def verify(self) -> Verified:
        def search_on(continuation: Continuation) -> tuple[Scored, ...]:
            return continuation.earlier

        return Verifier(self.space, self.measure, search_on, 1, (self.other,)).winner(
            self.budget, self.scored, self.here
        )


def test_the_best_that_is_within_the_limit_on_both(target: Target) -> None:
    """`a` is predicted over the limit on the second device, `b` measures over it there; `c` is within both."""
    world = World(
        target,
        here={"a": (5.0, 5.0), "b": (5.0, 5.0), "c": (9.0, 9.0), "d": (1.0, 1.0)},
        there={"a": (11.0, 11.0), "b": (9.0, 10.5), "c": (5.0, 5.0), "d": (1.0, 1.0)},
    )
    verified = world.verify()
    winner = verified.winner
    assert winner.scored.architecture == world.arch("c")
    assert winner.measured == Measurement(9.0, 9.0)
    assert winner.elsewhere["latency_ms@b"].measured == Measurement(5.0, 5.0)
    assert world.measured == ["b on a", "b on b", "b on b", "c on a", "c on b"], "a miss is measured once more"
    assert [miss.scored.architecture for miss in verified.passed_over] == [world.arch("b")]


def test_a_network_over_the_limit_on_the_first_device_is_not_measured_on_the_second(target: Target) -> None:
    figures = {"a": (9.0, 12.0), "b": (1.0, 1.0)}
    world = World(target, here=figures, there={"a": (1.0, 1.0), "b": (1.0, 1.0)})
    assert world.verify().winner.scored.architecture == world.arch("b")
    assert "a on b" not in world.measured


def test_a_miss_corrects_the_model_of_its_device_alone(target: Target) -> None:
    world = World(
        target,
        here=dict.fromkeys("abcd", (5.0, 5.0)),
        there={"a": (9.0, 30.0), "b": (8.9, 30.0), "c": (8.8, 30.0), "d": (1.0, 1.0)},
    )
    verified = world.verify()
    assert verified.winner.scored.architecture == world.arch("d")
    assert verified.winner.predicted_ms == pytest.approx(5.0)


def test_limits_that_no_network_meets_name_both(target: Target) -> None:
    world = World(target, here={"a": (9.0, 9.0)}, there={"a": (9.0, 10.5)})
    with pytest.raises(
        BudgetInfeasible, match=r"within latency_ms <= 10\.0 ms, latency_ms@b <= 10\.0 ms: 1 were .* best at 105% of"
    ):
        world.verify()


def test_each_limit_is_held_by_the_bound_of_its_own_device(target: Target) -> None:
    world = World(target, here={"a": (5.0, 5.0)}, there={"a": (7.0, 7.0)})
    bounds = {limit.cost.name: limit.cost.cost(world.arch("a")) for limit in world.budget.limits}
    assert bounds == {"latency_ms": pytest.approx(5.0), "latency_ms@b": pytest.approx(7.0)}
    measured = {Architecture(f"elsewhere {n}", ("a",)): 9.0 for n in range(60)}
    slower = replace(world.other, model=world.there.with_networks(measured))
    corrected = with_latency_bounds(world.budget, world.here, [slower])
    assert corrected.limits[0] == world.budget.limits[0]
    assert corrected.limits[1].cost.cost(world.arch("a")) == pytest.approx(9.0)
