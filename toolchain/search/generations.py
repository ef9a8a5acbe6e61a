"""The generations of a search: proposals in, scores and journal out."""

from collections.abc import Callable, Sequence
from random import Random

from toolchain.progress import Progress, Task
from toolchain.search.journal import Journal
from toolchain.search.strategies import Scored, Strategy
from toolchain.spaces.core import Architecture

Score = Callable[[Architecture], float]


def run_strategy(
    strategy: Strategy,
    generations: int,
    seed: int,
    journal: Journal,
    evaluate: Score,
    progress: Progress,
    earlier: Sequence[Scored] = (),
    first: int = 0,
) -> tuple[Scored, ...]:
    """All candidates of one search in the order they were scored; known scores come from the journal.

    Args:
        earlier: candidates that an earlier search left; the first generation already has parents among them.
        first: the number of the first generation, where others went before.
    """
    known = {tuple(line["architecture"]): float(line["accuracy"]) for line in journal.lines}
    scored = list(earlier)
    task: Task | None = None
    for generation in range(first, first + generations):
        proposals = strategy.propose(scored, Random(f"{seed}:{generation}"))
        task = task or progress.start(f"search ({strategy.name})", generations * len(proposals))
        found = []
        for proposal in proposals:
            arch = proposal.architecture
            accuracy = known.get(arch.choices)
            if accuracy is None:
                accuracy = known[arch.choices] = evaluate(arch)
                journal.append(
                    {
                        "architecture": list(arch.choices),
                        "accuracy": accuracy,
                        "strategy": strategy.name,
                        "generation": generation,
                        "origin": proposal.origin,
                    }
                )
            found.append(Scored(arch, accuracy, generation, proposal.origin))
            best = max(s.accuracy for s in (*scored, *found))
            task.advance(note=f"generation {generation + 1}  best {best:.2%}")
        scored += found
    return tuple(scored)
