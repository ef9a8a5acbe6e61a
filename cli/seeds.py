"""`--seeds 0..4`: a command once for each seed, each in a separate run, and the means of the results."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from cli import console
from cli.configured import flags_in_hints
from cli.invocation import Invocation
from cli.processes import in_processes

if TYPE_CHECKING:
    from toolchain.training.mean_interval import MeanInterval

Seeds = Annotated[
    str | None,
    typer.Option(
        "--seeds",
        help="Repeat with these seeds, e.g. 0..4 or 0,3,7, each in its own run (RUN-seed0, ...), and report the means.",
        rich_help_panel="Run",
    ),
]


@dataclass(frozen=True)
class CommandAnswer:
    """What a command answers for one seed.

    Args:
        document: its JSON answer.
        values: the numbers to average, by the words of the document, such as `test_accuracy` (a share).
        problem: why a part of the request failed; the other seeds go on.
        hint: the next command.
        facts: the answer for people, where it differs from the document.
    """

    document: Mapping[str, object]
    values: Mapping[str, float] = field(default_factory=dict)
    problem: str = ""
    hint: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)


def print_answer(title: str, answer: CommandAnswer | None, json: bool) -> None:
    """Print what a command answers; nothing where other processes did."""
    if answer is None:
        return
    if json:
        console.answer_json(answer.document)
    else:
        console.answer_facts(title, answer.facts)
        console.say(f"Next: {answer.hint}")


def run_seeds(
    invocation: Invocation,
    seeds: str,
    nproc: int | None,
    run: Callable[[Invocation], CommandAnswer | None],
    json: bool,
) -> None:
    """Run a command for each seed, one after the other, and print the results with their means.

    What a seed has finished is not repeated when the command is run again.

    Raises:
        BadUnit: `seeds` cannot be read.
        BadConfig: --seed is given as well.
        BudgetInfeasible: the search of a seed has no winner for a budget. The other seeds are searched, and the results
            of all are printed before.
    """
    from toolchain.errors import BadConfig, BudgetInfeasible
    from toolchain.units import parse_seeds

    if "seed" in invocation.given:
        raise BadConfig("--seed and --seeds contradict each other. Leave out one of them")
    chosen = parse_seeds(seeds)
    if in_processes(nproc):  # each of them comes here, and they do every seed together
        return
    answers: dict[str, CommandAnswer] = {}
    runs: list[str] = []
    for seed in chosen:
        of_seed = invocation.of_seed(seed)
        runs.append(of_seed.config.run)
        console.say(f"seed {seed}: run {of_seed.config.run}")
        try:
            with flags_in_hints(of_seed, {}):
                answer = run(of_seed)
        except BudgetInfeasible as problem:
            answer = CommandAnswer({"problem": str(problem)}, problem=str(problem))
        assert answer is not None, "this process does the work itself"
        answers[str(seed)] = answer
    _answer(answers, runs, json)
    if problems := [f"seed {seed}: {answer.problem}" for seed, answer in answers.items() if answer.problem]:
        within = len(answers) - len(problems)
        raise BudgetInfeasible(
            f"{within} of {len(answers)} seeds have a network within the limits. {'; '.join(problems)}"
        )


def _answer(answers: Mapping[str, CommandAnswer], runs: list[str], json: bool) -> None:
    from toolchain.training.mean_interval import mean_interval

    names = dict.fromkeys(name for answer in answers.values() for name in answer.values)
    means = {
        name: mean_interval([answer.values[name] for answer in answers.values() if name in answer.values])
        for name in names
    }
    if json:
        documents = {seed: answer.document for seed, answer in answers.items()}
        within = sum(not answer.problem for answer in answers.values())
        averages = {name: mean.model_dump() for name, mean in means.items()}
        console.answer_json({"seeds": documents, "means": averages, "within_limits": within})
        return
    rows = [
        (seed, run, *(_text(name, answer.values.get(name)) for name in names))
        for (seed, answer), run in zip(answers.items(), runs, strict=True)
    ]
    if names:
        rows.append(("mean", "", *(_mean_text(name, means[name]) for name in names)))
    console.answer_table("seeds, with the 95 % interval of each mean", ("seed", "run", *names), rows)


def _text(name: str, value: float | None) -> str:
    if value is None:
        return "none"
    if "accuracy" in name:
        return f"{value:.2%}"
    return f"{value:.3f} ms" if "latency_ms" in name else f"{value:,.0f}"


def _mean_text(name: str, mean: "MeanInterval") -> str:
    if "accuracy" in name:
        return mean.percent
    width = "" if mean.half_width is None else f" +- {_text(name, mean.half_width)}"
    return _text(name, mean.mean) + width
