"""Commands of the main job, run again in the same run: other budgets, and what is not repeated."""

import json
import shutil
from collections.abc import Callable
from typing import Any

import pytest

Nastool = Callable[..., Any]


@pytest.mark.long
def test_second_budget_shares_the_journal(job: Any, nastool: Nastool) -> None:
    before = job.journal
    answer = nastool("search", "--macs", "36k", "--json", cwd=job.folder)
    assert answer.code == 0, answer.stderr
    assert answer.json["macs"] <= 36_000
    lines = job.journal
    assert lines[: len(before)] == before
    scored = [(tuple(line["architecture"]), line["strategy"]) for line in lines]
    assert len(set(scored)) == len(scored), "a candidate was scored twice"
    accuracies = {(tuple(line["architecture"]), line["accuracy"]) for line in lines}  # of random search and evolution
    assert len(accuracies) == len({architecture for architecture, _ in scored})
    again = nastool("search", "--macs", "36k", "--json", cwd=job.folder)
    assert again.json == answer.json
    assert job.journal == lines


@pytest.mark.long
def test_several_budgets_in_one_command(job: Any, nastool: Nastool) -> None:
    answer = nastool("search", "--macs", "31k", "--macs", "36k", "--json", cwd=job.folder)
    assert answer.code == 0, answer.stderr
    winners = answer.json["winners"].values()
    assert [best["limits"] for best in winners] == [{"macs": 31_000}, {"macs": 36_000}]
    assert all(best["macs"] <= best["limits"]["macs"] for best in winners)
    assert [best["folder"] for best in winners] == ["runs/r/search/macs_31k", "runs/r/search/macs_36k"]
    assert answer.json["front"]


def test_search_without_limits_keeps_the_winner(job: Any, nastool: Nastool) -> None:
    before = (job.folder / "runs/r/search/best.json").read_bytes()
    answer = nastool("search", "--json", cwd=job.folder)
    assert (answer.code, answer.stdout) == (2, "")
    assert "a search needs a limit. Give --latency, --macs" in answer.stderr
    assert (job.folder / "runs/r/search/best.json").read_bytes() == before


def test_test_images_are_evaluated_once(job: Any, nastool: Nastool) -> None:
    (result,) = (job.folder / "runs/r/retrain").glob("*/result.json")
    changed = json.loads(result.read_text()) | {
        "test_accuracy": 0.123
    }  # a value that a second evaluation would not give
    result.write_text(json.dumps(changed))
    for checkpoint in result.parent.glob("*.pt"):
        checkpoint.unlink()
    answer = nastool("retrain", "--json", cwd=job.folder)
    low, high = answer.json["test_accuracy_interval"]
    assert low < 0.123 < high
    assert answer.json == job.answers["retrain"].json | {"test_accuracy": 0.123, "test_accuracy_interval": [low, high]}
    assert json.loads(result.read_text()) == changed


def test_finished_commands_are_not_repeated(job: Any, nastool: Nastool) -> None:
    """Run again, train and retrain reuse their results, and search reuses its journal."""
    folder = job.folder
    kept = ("runs/r/supernet/checkpoint.pt", "runs/r/search/candidates.jsonl", "runs/r/search/measured.jsonl")
    before = [(folder / path).read_bytes() for path in kept]
    for command in ("train", "search", "retrain"):
        flags = ("--latency", "100ms", "--macs", "31k") if command == "search" else ()
        assert nastool(command, *flags, "--json", cwd=folder).json == job.answers[command].json
    assert [(folder / path).read_bytes() for path in kept] == before


@pytest.mark.long
def test_named_architecture_needs_no_search(job: Any, nastool: Nastool) -> None:
    shutil.rmtree(job.folder / "runs/r/search")
    arch = ("--arch", "choice_x,choice_3,1,0")
    retrained = nastool("retrain", *arch, "--json", cwd=job.folder)
    assert retrained.json["architecture"] == ["choice_x", "choice_3", "choice_5", "choice_3"]
    exported = nastool("export", *arch, "--json", cwd=job.folder)
    assert exported.json["limits"] == {}
    assert exported.json["architecture"] == retrained.json["architecture"]


@pytest.mark.long
def test_random_search_of_an_earlier_command_does_not_win_and_is_named(job: Any, nastool: Nastool) -> None:
    journal = job.folder / "runs/r/search/candidates.jsonl"
    header, *lines = journal.read_text().splitlines()
    place = max(place for place, line in enumerate(lines) if json.loads(line)["strategy"] == "random")
    better = json.loads(lines[place]) | {"accuracy": 0.99}
    lines[place] = json.dumps(better)
    journal.write_text("\n".join((header, *lines)) + "\n")
    few = ("--population", "2", "--generations", "1")  # so that evolution does not propose it now
    answer = nastool("search", "--macs", "31k", "--no-random-search", *few, "--json", cwd=job.folder)
    assert answer.code == 0, answer.stderr
    assert answer.json["strategy"] == "evolution"
    assert answer.json["architecture"] != better["architecture"]
    assert "random search scored 99.00% under macs <= 31.00k, better than the winner of evolution" in answer.stderr
    assert " ".join(better["architecture"]) in " ".join(answer.stderr.split())
