"""The finalists of one budget, from proposal to choice."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite

from toolchain.costs.core import Budget
from toolchain.search.budget import Costs
from toolchain.search.candidate import Candidate
from toolchain.search.finalists.admission import Admit, admitted
from toolchain.search.finalists.halving import CONFIDENCE, Result, Standing, Training, halve
from toolchain.search.finalists.proposals import proposed, simple_networks
from toolchain.search.finalists.report import EARLIER, Finalist, FinalistOutcome, FinalistsReport
from toolchain.search.finalists.trainings import Train
from toolchain.search.generations import Scoring, run_strategy
from toolchain.search.strategies import GivenNetworks, Scored, complete
from toolchain.spaces.core import Architecture, SearchSpace

FEW = 2  # trainings: the interval of two networks then has one degree of freedom, and is several points wide


@dataclass(frozen=True)
class FinalistSettings:
    """How many finalists are trained, for how many epochs each, and for how long together."""

    count: int
    epochs: float
    time_limit_s: float


@dataclass(frozen=True)
class Selection:
    """The winner, all simple networks as scored candidates, and the report; None if there was no second finalist."""

    winner: Candidate
    simple: tuple[Scored, ...]
    report: FinalistsReport | None


@dataclass(frozen=True)
class Selector:
    """Selects the winner of a budget by training finalists.

    Args:
        scoring: scores simple networks, so that they are listed with the candidates of the search.
        train: trains an architecture with the seed of a round, under a title that tells its progress.
    """

    space: SearchSpace
    costs: Costs
    scoring: Scoring
    train: Train
    settings: FinalistSettings

    def select(
        self,
        budget: Budget,
        scored: Sequence[Scored],
        leader: Candidate,
        admit: Admit,
        earlier: Sequence[Architecture] = (),
    ) -> Selection:
        """Train the finalists of `budget`.

        Args:
            scored: the candidates of the search within the budget.
            leader: the winner by inherited accuracy, which is measured already and takes part.
            admit: measures a candidate.
            earlier: winners of earlier searches of the budget; they take part beside the others.
        """
        simple = self._simple(budget)
        by_hand = {candidate.architecture for candidate in simple}
        own = admitted(leader, proposed(scored, simple), by_hand, self.settings.count, admit)
        finalists = self._with_earlier(own, earlier, admit)
        if len(finalists) == 1:
            self.scoring.progress.say(f"one network measures within {budget}, so there are no finalists to train")
            return Selection(leader, simple, None)

        def train(candidate: Candidate, repeat: int) -> Training:
            title = f"finalist {finalists.index(candidate) + 1} of {len(finalists)}, round {repeat + 1}"
            return self.train(candidate.scored.architecture, repeat, title)

        self.scoring.progress.say(f"training {len(finalists)} finalists under {budget}")
        result = halve(finalists, train, self.settings.time_limit_s)
        winner = choose(result)
        return Selection(winner, simple, self._report(result, winner))

    def _simple(self, budget: Budget) -> tuple[Scored, ...]:
        """The simple networks with their scores, in order of preference."""
        macs = self.costs.named("macs")
        networks = simple_networks(self.space, budget, self.costs.expected(budget), macs)
        strategy = GivenNetworks(tuple(networks), "simple")
        return complete(run_strategy(strategy, range(1), self.scoring))

    def _with_earlier(
        self, finalists: list[Candidate], earlier: Sequence[Architecture], admit: Admit
    ) -> list[Candidate]:
        """`finalists`, and those of `earlier` that are none of them and still measure within the budget."""
        present = {finalist.scored.architecture for finalist in finalists}
        strategy = GivenNetworks(tuple(arch for arch in earlier if arch not in present), EARLIER)
        measured = map(admit, complete(run_strategy(strategy, range(1), self.scoring)))
        return [*finalists, *(finalist for finalist in measured if finalist is not None)]

    def _report(self, result: Result[Candidate], winner: Candidate) -> FinalistsReport:
        outcomes = _outcomes(result, winner)
        runner_up = result.comparisons[0]
        half_width = runner_up.half_width(CONFIDENCE)
        return FinalistsReport(
            finalists=tuple(self._entry(standing, outcome) for standing, outcome in outcomes),
            statement=statement(result, winner),
            separated=result.separated,
            difference=runner_up.difference,
            half_width=half_width if isfinite(half_width) else None,
            epochs=self.settings.epochs,
            seconds=round(result.seconds, 3),
            out_of_time=result.out_of_time,
        )

    def _entry(self, standing: Standing[Candidate], outcome: FinalistOutcome) -> Finalist:
        candidate = standing.network
        arch = candidate.scored.architecture
        return Finalist(
            architecture=arch.choices,
            strategy=candidate.scored.strategy,
            inherited_accuracy=candidate.scored.accuracy,
            trained_accuracy=standing.accuracy,
            trainings=standing.trainings,
            macs=int(self.costs.named("macs").cost(arch)),
            latency_ms=candidate.measured.latency_ms if candidate.measured else candidate.predicted_ms,
            outcome=outcome,
        )


def choose(result: Result[Candidate]) -> Candidate:
    """The most accurate finalist, or the fastest of those within one standard error of it.

    The rule of one standard error (Breiman et al., 1984): among networks whose difference is noise, take the cheapest.
    """
    leader, *others = result.remaining
    pairs = zip(others, result.comparisons, strict=True)
    close = [leader, *(other for other, pair in pairs if pair.difference <= pair.standard_error < inf)]
    return min((standing.network for standing in close), key=_speed)


def _speed(candidate: Candidate) -> float:
    """Measured latency, else predicted; without either, all count as equally fast."""
    if candidate.measured is not None:
        return candidate.measured.latency_ms
    return candidate.predicted_ms if candidate.predicted_ms is not None else 0.0


def statement(result: Result[Candidate], winner: Candidate) -> str:
    """How sure the choice is, as a sentence."""
    runner_up = result.comparisons[0]
    width = runner_up.half_width(CONFIDENCE)
    trainings = result.remaining[0].trainings
    if result.separated:
        return (
            f"the winner is better than the runner-up by {runner_up.difference * 100:.2f} +- {width * 100:.2f} points "
            f"of hold-out accuracy (95 % interval, {trainings} trainings each)"
        )
    tied = len(result.tied)
    if trainings == 1:
        return (
            f"the first {tied} were trained once each, which is too few to tell them apart; the most accurate of them "
            f"was taken"
        )
    taken = "the fastest of them within one standard error of the most accurate was taken"
    if winner is result.remaining[0].network:
        taken = "the most accurate of them was taken; none within one standard error of it is faster"
    if trainings == FEW:
        return (
            f"the first {tied} cannot be told apart after {FEW} trainings each, which are too few for a useful "
            f"interval; {taken}"
        )
    return (
        f"the first {tied} cannot be told apart: the best two differ by {runner_up.difference * 100:.2f} +- "
        f"{width * 100:.2f} points (95 % interval, {trainings} trainings each); {taken}"
    )


def _outcomes(result: Result[Candidate], winner: Candidate) -> list[tuple[Standing[Candidate], FinalistOutcome]]:
    tied = result.tied

    def outcome(standing: Standing[Candidate]) -> FinalistOutcome:
        if standing.network is winner:
            return "winner"
        return "tied" if standing in tied else "behind"

    remaining = [(standing, outcome(standing)) for standing in result.remaining]
    return [*remaining, *((standing, "dropped") for standing in result.dropped)]
