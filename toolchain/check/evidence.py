"""The rounds that a check has measured, and which of them count."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from exporters.graph.anchor import KEY as ANCHOR
from exporters.timing import INTERRUPTED
from latency_db.table import Sample
from toolchain.measuring.intervals import LatencyStatistic

CANDIDATE, BASELINE = "candidate", "baseline"
COUNTED = frozenset({"", INTERRUPTED})  # noise that does not exclude a sample

Round = Mapping[str, Sample]
StoredRounds = Sequence[tuple[float, float | None]]  # of each round: ms of the file, ms of the anchor network


def noise_reason_of(round_: Round) -> str:
    """Why a round is not counted; empty if it is."""
    # an interruption affects all files of a round alike, and busy time is compared
    return max({sample.noise_reason for sample in round_.values()} - COUNTED, default="")


class Evidence:
    """The rounds so far: counted rounds, the latency in ms of each file in them, and the noise of the others."""

    def __init__(self, statistic: LatencyStatistic) -> None:
        self.statistic = statistic
        self.counted: list[Round] = []
        self.latencies_ms: dict[str, list[float]] = defaultdict(list)
        self.noisy_rounds: list[str] = []
        self.last: Round = {}

    @property
    def n_rounds(self) -> int:
        """The number of all rounds, noisy ones included."""
        return len(self.counted) + len(self.noisy_rounds)

    def add(self, round_: Round) -> None:
        """Add a round."""
        self.last = round_
        if reason := noise_reason_of(round_):
            self.noisy_rounds.append(reason)
            return
        self.counted.append(round_)
        for key, sample in round_.items():
            self.latencies_ms[key].append(self.statistic([sample]))

    def latency_ms(self, key: str) -> float:
        """The latency of a file over all counted rounds."""
        return self.statistic([round_[key] for round_ in self.counted])

    def to_store(self) -> StoredRounds:
        """Candidate and anchor network in each counted round, which later checks can compare with."""
        anchors_ms: Sequence[float | None] = self.latencies_ms.get(ANCHOR) or [None] * len(self.counted)
        return list(zip(self.latencies_ms[CANDIDATE], anchors_ms, strict=True))
