"""`nastool rank`: how far the supernet's order of networks holds."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli import console, options
from cli.configured import configured
from cli.invocation import Invocation, with_fitted_space, with_recipe

if TYPE_CHECKING:
    from toolchain.ranking.agreement import Agreement
    from toolchain.ranking.results import RankResult

LABELS = {
    "batch_statistics_and_standalone": "not recalibrated",
    "inherited_and_batch_statistics": "inherited and not recalibrated",
    "first_and_second_repeat": "first and second repeat",
}


@configured("rank")
def rank(
    invocation: Invocation,
    networks: Annotated[int, typer.Option("--networks", help="Number of networks to score and train.")] = 20,
    repeats: Annotated[int, typer.Option("--repeats", help="Trainings per network, each with another seed.")] = 1,
    json: options.Json = False,
) -> None:
    """Compare inherited accuracies with those of networks trained from scratch.

    Resumes from its last checkpoint when rerun.
    """
    from cli.early_checks import check_arguments

    config = with_recipe(with_fitted_space(invocation), "retrain").config
    check_arguments(config, of_run=True)
    from toolchain.nets.checked_space import configured_space
    from toolchain.ranking.rank import check_request
    from toolchain.ranking.rank import rank as run_rank
    from toolchain.runs import open_run
    from toolchain.training.data import configured_data
    from toolchain.training.job import Job
    from toolchain.training.recipe import load_recipe
    from toolchain.training.torch_setup import prepare_torch

    prepare_torch(config)
    space = configured_space(config)
    check_request(networks, repeats, space)
    load_recipe(config.retrain.recipe, "retrain", config.retrain.changes)  # refused before there is a folder
    with console.progress() as bars:
        data = configured_data(config, space, bars, "retrain")
    with open_run(config, stage="rank") as folder, console.progress() as bars:
        ranked = run_rank(Job(config, space, data, folder, bars), networks, repeats)
    if json:
        console.answer_json(ranked.as_json())
        return
    _answer_networks(ranked)
    _answer_correlations(ranked)
    _say_uncertainty(ranked, len(data.holdout), len(data.test.labels))
    seconds = {"inherited": ranked.seconds.inherited, "standalone": ranked.seconds.standalone}
    for name, spread in ranked.spread.items():
        console.say(
            f"{name}: {spread.least:.2%} to {spread.greatest:.2%}, standard deviation "
            f"{spread.standard_deviation * 100:.2f} points, {seconds[name]:.0f} s"
        )
    if repeats == 1:
        console.say("Two trainings of one network differ as well, which bounds tau: --repeats 2 measures it")


def _say_uncertainty(ranked: "RankResult", holdout: int, test: int) -> None:
    """What so few images and so few networks cannot tell."""
    from statistics import median

    from toolchain.ranking.agreement import MIN_NETWORKS
    from toolchain.training.accuracy_interval import accuracy_text

    inherited = median(network.inherited for network in ranked.networks)
    standalone = median(accuracy for network in ranked.networks for accuracy in network.standalone)
    console.say(
        f"95% intervals of the median accuracies: inherited {accuracy_text(inherited, holdout)}, "
        f"stand-alone {accuracy_text(standalone, test)}"
    )
    if len(ranked.networks) < MIN_NETWORKS:
        console.say(
            f"{len(ranked.networks)} networks cannot tell whether the orders agree: by chance alone all their pairs "
            f"agree or disagree too often. Use --networks {MIN_NETWORKS} or more, better 20"
        )


def _answer_networks(ranked: "RankResult") -> None:
    rows = [
        (
            " ".join(network.architecture),
            f"{network.macs if ranked.cost == 'macs' else network.bitops:,}",
            f"{network.inherited:.2%}",
            f"{network.loss:.4f}",
            f"{network.batch_statistics:.2%}",
            " ".join(f"{accuracy:.2%}" for accuracy in network.standalone),
        )
        for network in ranked.networks
    ]
    columns = ("architecture", ranked.cost, "inherited", "loss", "not recalibrated", "stand-alone (test)")
    console.answer_table(f"networks of {ranked.space} on {ranked.data}", columns, rows)


def _answer_correlations(ranked: "RankResult") -> None:
    third, close = ranked.within["third"], ranked.within["10_percent"]
    rows = [
        (
            LABELS.get(name) or name.removesuffix("_and_standalone"),
            *map(_tau, (agreement, third.tau[name], close.tau[name])),
        )
        for name, agreement in ranked.tau.items()
    ]
    count = len(ranked.networks)
    columns = (
        "score",
        f"all {count * (count - 1) // 2} pairs",
        f"{third.pairs} pairs within thirds of {ranked.cost}",
        f"{close.pairs} pairs within 10% of {ranked.cost}",
    )
    title = f"rank correlation with stand-alone accuracy (Kendall's tau, 95% interval) of {count} networks"
    console.answer_table(title, columns, rows)


def _tau(agreement: "Agreement") -> str:
    if agreement.tau is None:
        return "none"  # a score is the same for all networks, or there is no pair
    if agreement.low is None:
        return f"cannot tell ({agreement.tau:.2f})"
    return f"{agreement.tau:.2f} ({agreement.low:.2f} to {agreement.high:.2f})"
