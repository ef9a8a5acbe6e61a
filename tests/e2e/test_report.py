"""`nastool report`: the page, the document and the model card of a finished and of an unfinished run; `--verify`."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

Nastool = Callable[..., Any]
Change = Callable[[Path], None]
RUN = Path("runs/r")


def test_the_document_has_the_figures_of_the_commands(finished_job: Any, nastool: Nastool) -> None:
    report = nastool("report", "r", "--json", cwd=finished_job.folder).json
    searched, exported = finished_job.answers["search"].json, finished_job.answers["export"].json
    (budget,) = report["budgets"]
    assert budget["name"] == "latency_100ms+macs_31k"
    assert budget["architecture"] == searched["architecture"]
    assert budget["verdict"] == "met"
    assert budget["measured"]["ms"] == searched["measured_latency_ms"]
    assert budget["inherited"]["share"] == searched["holdout_accuracy"]
    assert [budget["inherited"]["low"], budget["inherited"]["high"]] == searched["holdout_accuracy_interval"]
    assert budget["inherited"]["images"] == 200
    assert budget["test"]["share"] == exported["test_accuracy"]
    assert budget["test"]["images"] == 364  # of digits' 1,797
    assert budget["exported"][0]["bytes"] == exported["files"]["model.onnx"]["bytes"]
    assert {limit["cost"]: limit["met"] for limit in budget["limits"]} == {"latency_ms": True, "macs": True}
    shares = [block["share"] for block in budget["network"]["blocks"]]
    assert sum(shares) + budget["network"]["fixed_share"] == pytest.approx(1)
    assert budget["network"]["total"] == pytest.approx(searched["latency_ms"])
    assert (report["missing"], report["notes"], budget["missing"]) == ([], [], [])


def test_the_search_is_that_of_the_journal(finished_job: Any, nastool: Nastool) -> None:
    report = nastool("report", "r", "--json", cwd=finished_job.folder).json
    lines = [json.loads(line) for line in (finished_job.folder / RUN / "search/candidates.jsonl").open()][1:]
    search = report["search"]
    scored = {" ".join(line["architecture"]) for line in lines}
    assert {point["architecture"] for point in search["candidates"]} == scored
    evolution = [row for row in search["generations"] if row["strategy"] == "evolution"]
    assert [row["generation"] for row in evolution] == [0, 1, 2]
    best = max(line["accuracy"] for line in lines if line["strategy"] == "evolution")
    assert evolution[-1]["best_so_far"] == best
    assert all(row["low"] <= row["median"] <= row["high"] <= row["best_so_far"] for row in evolution)
    front = [search["candidates"][number] for number in search["front"]]
    pairs = [(point["latency_ms"], point["accuracy"]) for point in front]
    assert pairs == sorted(pairs)
    assert front[-1]["accuracy"] == max(point["accuracy"] for point in search["candidates"])
    measured = [point for point in search["predictions"] if point["role"] == "search"]
    assert [point["measured_ms"] for point in measured] == [finished_job.answers["search"].json["measured_latency_ms"]]
    assert len(search["predictions"]) == 4, "three networks of the profile, and the winner"
    curves = {(curve["training"].partition("-")[0], curve["name"]) for curve in report["curves"]}
    assert {("supernet", "loss"), ("retrain", "accuracy")} <= curves


def test_the_page_is_written_into_the_run(job: Any, nastool: Nastool) -> None:
    answer = nastool("report", cwd=job.folder)  # the run of nastool.toml
    assert answer.code == 0
    page = (job.folder / RUN / "report.html").read_text()
    assert "fits the budget" in page
    assert "http://" not in page.replace("http://www.w3.org", "").partition("plotly.js v")[0]
    assert nastool("report", "runs/r", "--out", "elsewhere.html", cwd=job.folder).code == 0
    assert (job.folder / "elsewhere.html").read_text() == page, "the same run gives the same page"


def test_an_unfinished_run_names_its_commands(job: Any, nastool: Nastool) -> None:
    run = job.folder / RUN
    (run / "export/check.json").unlink()
    assert nastool("report", "r", "--json", cwd=job.folder).json["budgets"][0]["missing"] == ["nastool check --run r"]
    shutil.rmtree(run / "export")
    answer = nastool("report", "r", cwd=job.folder)
    assert "not finished yet: nastool export --run r" in answer.stderr
    assert "nastool retrain" not in answer.stderr
    shutil.rmtree(run / "retrain")
    budget = nastool("report", "r", "--json", cwd=job.folder).json["budgets"][0]
    assert budget["missing"] == [f"nastool {command} --run r" for command in ("retrain", "export", "check")]
    assert (budget["test"], budget["exported"]) == (None, [])
    shutil.rmtree(run / "search")
    report = nastool("report", "r", "--json", cwd=job.folder).json
    assert report["missing"] == ["nastool search --run r --latency 100ms --macs 31k"]
    assert (report["budgets"], report["search"]) == ([], None)
    shutil.rmtree(run / "supernet")
    assert nastool("report", "r", cwd=job.folder).code == 0
    assert "<pre>nastool train --run r" in (run / "report.html").read_text()
    answer = nastool("report", "r", "--format", "md", cwd=job.folder)
    assert (answer.code, "has no winner yet" in answer.stderr) == (2, True)


def test_without_the_latency_table_blocks_have_macs(job: Any, nastool: Nastool) -> None:
    (job.folder / "latency.sqlite").unlink()
    answer = nastool("report", "r", "--json", cwd=job.folder)
    network = answer.json["budgets"][0]["network"]
    assert (network["cost"], network["total"]) == ("macs", job.answers["search"].json["macs"])
    assert "the records of its target are not in latency.sqlite" in answer.json["notes"][0]
    assert nastool("report", "r", "--verify", cwd=job.folder).code == 0


@pytest.mark.long
def test_several_budgets(job: Any, nastool: Nastool) -> None:
    assert nastool("search", "--macs", "30k", "--macs", "40k", "--run", "r", cwd=job.folder).code == 0
    report = nastool("report", "r", "--json", cwd=job.folder).json
    names = [budget["name"] for budget in report["budgets"]]
    assert names == ["latency_100ms+macs_31k", "macs_30k", "macs_40k"]
    assert "--budget macs_40k" in " ".join(report["budgets"][2]["missing"])
    assert nastool("report", "r", "--verify", cwd=job.folder).code == 0
    assert nastool("report", "r", cwd=job.folder).code == 0
    assert (job.folder / RUN / "report.html").read_text().count('<section class="verdict') == 3
    answer = nastool("report", "r", "--format", "md", "--budget", "macs_30k", cwd=job.folder)
    assert "runs/r/model_card_macs_30k.md" in answer.stdout.replace("\n", "")
    answer = nastool("report", "r", "--format", "md", "--out", "card.md", cwd=job.folder)
    assert "Give --budget latency_100ms+macs_31k or macs_30k or macs_40k" in " ".join(answer.stderr.split())


def test_the_model_card_has_a_header_of_hugging_face(job: Any, nastool: Nastool) -> None:
    assert nastool("report", "r", "--format", "md", cwd=job.folder).code == 0
    _, header, text = (job.folder / RUN / "model_card.md").read_text().split("---\n", 2)
    content = yaml.safe_load(header)
    assert content["pipeline_tag"] == "image-classification"
    (result,) = content["model-index"][0]["results"]
    accuracy = job.answers["export"].json["test_accuracy"]
    assert result["metrics"] == [{"type": "accuracy", "value": accuracy, "name": "Top-1 accuracy"}]
    assert result["dataset"]["split"] == "test"
    assert f"| test accuracy | {accuracy:.2%} (" in text
    assert "python predict.py" in text
    assert f"`{' '.join(job.answers['search'].json['architecture'])}`" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("none",), "there is no run 'none' in runs. Existing runs: r"),
        (("r", "--format", "md", "--budget", "macs_1M"), "has no budget 'macs_1M'. It has latency_100ms+macs_31k"),
        (("r", "--out", "runs"), "runs is a folder. Name a file, as --out report.html"),
    ],
)
def test_mistakes_are_named(words: tuple[str, ...], message: str, finished_job: Any, nastool: Nastool) -> None:
    answer = nastool("report", *words, cwd=finished_job.folder)
    assert answer.code == 2
    assert message in " ".join(answer.stderr.split())


def _field(pattern: str, *keys: str | int, value: Any = None, change: Callable[[Any], Any] | None = None) -> Change:
    """Change a field of a JSON file of the run: to `value`, or by `change`."""

    def mutate(run: Path) -> None:
        (path,) = run.glob(pattern)
        content = json.loads(path.read_text())
        place = content
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value if change is None else change(place[keys[-1]])
        path.write_text(json.dumps(content))

    return mutate


def _best(*keys: str | int, value: Any = None, change: Callable[[Any], Any] | None = None) -> Change:
    """Change both files of the winner: that of its budget and that of the last search."""

    def mutate(run: Path) -> None:
        for pattern in ("search/best.json", "search/*/best.json"):
            _field(pattern, *keys, value=value, change=change)(run)

    return mutate


def _line(pattern: str, number: int, key: str, change: Callable[[Any], Any]) -> Change:
    """Change a field in one line of a journal."""

    def mutate(run: Path) -> None:
        (path,) = run.glob(pattern)
        lines = path.read_text().splitlines()
        content = json.loads(lines[number])
        content[key] = change(content[key])
        lines[number] = json.dumps(content)
        path.write_text("\n".join(lines) + "\n")

    return mutate


def _winners_line(run: Path, key: str, value: Any) -> None:
    """Change the journal's line about the winner."""
    winner = json.loads((run / "search/best.json").read_text())["architecture"]
    path = run / "search/candidates.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines[1:]:
        if line["architecture"] == winner:
            line[key] = value
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def _append(pattern: str, content: bytes) -> Change:
    def mutate(run: Path) -> None:
        (path,) = run.glob(pattern)
        path.write_bytes(path.read_bytes() + content)

    return mutate


def _replaced_architecture(run: Path) -> None:
    """The winner's file names its costs for another architecture of the journal."""
    best = json.loads((run / "search/best.json").read_text())
    lines = [json.loads(line) for line in (run / "search/candidates.jsonl").read_text().splitlines()[1:]]
    other = next(line["architecture"] for line in lines if line["architecture"] != best["architecture"])
    _best("architecture", value=other)(run)


# what is changed in a run, and a part of the difference that is named
MUTATIONS: Mapping[str, tuple[Change, str]] = {
    "macs of the winner": (_best("macs", change=lambda macs: macs - 1), "best.json: macs is"),
    "params of the winner": (_best("params", change=lambda params: params + 1), "best.json: params is"),
    "bits of weights of the winner": (_best("weight_bits", value=1), "best.json: weight_bits is 1"),
    "architecture of the winner": (_replaced_architecture, "best.json: "),
    "accuracy of the winner": (_best("holdout_accuracy", value=0.995), "holdout_accuracy is 0.995"),
    "predicted latency": (_best("latency_ms", change=lambda ms: 0.9 * ms), "best.json: latency_ms is"),
    "upper bound of the prediction": (_best("latency_upper_ms", change=lambda ms: 1.1 * ms), "latency_upper_ms is"),
    "margin of the prediction": (_best("latency_margin", value=0.5), "latency_margin is 0.5"),
    "scale of the calibration": (_best("calibration", "scale", change=lambda scale: 2 * scale), "calibration.in_words"),
    "measured latency": (_best("measured_latency_ms", change=lambda ms: ms / 2), "the measured latency is"),
    "limit": (_best("limits", "macs", value=20_000), "over its limit 20000"),
    "number of evaluations": (_best("evaluations", value=9999), "evaluations is 9999"),
    "winner of one file only": (_field("search/best.json", "params", value=7), "which no folder of a budget"),
    "images of the hold-out": (_best("holdout_images", value=199), "no whole number of 199 images"),
    "score in the journal": (
        _line("search/candidates.jsonl", 1, "accuracy", lambda _: 1.0),
        "is within the limits and preferred to the winner",
    ),
    "score of the winner in the journal": (lambda run: _winners_line(run, "accuracy", 0.005), "holdout_accuracy is"),
    "supernet": (_append("supernet/checkpoint.pt", b"x"), "supernet_sha256 is"),
    "measured journal": (_line("search/measured.jsonl", 1, "upper_ms", lambda _: 1e-9), "the measured latency is"),
    "test accuracy": (_field("retrain/*/result.json", "test_accuracy", value=0.999), "result.json: test_accuracy is"),
    "recipe of the retraining": (_field("retrain/*/result.json", "fingerprint", "seed", value=5), "training is"),
    "steps of the retraining": (_field("retrain/*/result.json", "steps", value=5), "manifest.json: training is"),
    "interval in the manifest": (
        _field("export/manifest.json", "test_accuracy_interval", value=[0.0, 1.0]),
        "test_accuracy_interval is",
    ),
    "accuracy in the manifest": (_field("export/manifest.json", "holdout_accuracy", value=0.5), "holdout_accuracy is"),
    "costs in the manifest": (_field("export/manifest.json", "costs", "macs", value=1), "costs.macs is 1"),
    "latency in the manifest": (_field("export/manifest.json", "measured_latency_ms", value=9.0), "is 9.0"),
    "exported file": (_append("export/model.onnx", b"x"), "files.model.onnx is"),
    "verdict of the check": (_field("export/check.json", "verdict", value="fail"), "check.json: verdict is 'fail'"),
    "limit of the check": (
        _field("export/check.json", "limit_ms", value=1e-6),
        "verdict on the budget does not follow",
    ),
    "latency of the check": (
        _field("export/check.json", "measured_latency_ms", value=50.0),
        "outside of latency_inter",
    ),
    "labels": (_append("export/labels.txt", b"eleven\n"), "files.labels.txt is"),
}


def test_an_unchanged_run_is_verified(finished_job: Any, nastool: Nastool) -> None:
    answer = nastool("report", "r", "--verify", "--json", cwd=finished_job.folder)
    assert answer.code == 0, answer.stderr
    assert answer.json["checked"] > 50
    assert (answer.json["differences"], answer.json["notes"]) == ([], [])


@pytest.mark.long
@pytest.mark.parametrize("name", MUTATIONS)
def test_a_changed_file_fails(name: str, job: Any, nastool: Nastool) -> None:
    change, difference = MUTATIONS[name]
    change(job.folder / RUN)
    answer = nastool("report", "r", "--verify", cwd=job.folder)
    assert answer.code == 1, answer
    assert difference in " ".join(answer.stderr.split())


def _without_profile_runs(run: Path) -> None:
    """Files as nastool 0.1.0 wrote them."""
    for pattern in ("search/best.json", "search/*/best.json", "export/manifest.json"):
        _field(pattern, "profile_runs", value=[])(run)


def _verified(job: Any, nastool: Nastool) -> tuple[int, str]:
    answer = nastool("report", "r", "--verify", cwd=job.folder)
    return answer.code, " ".join(answer.stderr.split())


@pytest.mark.long
def test_a_space_that_was_profiled_again_is_verified(job: Any, nastool: Nastool) -> None:
    """Predictions are computed from the profile that they came from, until it is removed from the table."""
    assert nastool("report", "r", cwd=job.folder).code == 0
    assert nastool("profile", "--run", "r", cwd=job.folder).code == 0
    answer = nastool("report", "r", "--verify", "--json", cwd=job.folder)
    assert (answer.code, answer.json["differences"], answer.json["notes"]) == (0, [], []), answer
    best = next((job.folder / RUN).glob("search/*/best.json")).read_text()
    MUTATIONS["predicted latency"][0](job.folder / RUN)
    code, text = _verified(job, nastool)
    assert (code, "best.json: latency_ms is" in text) == (1, True)
    for path in (job.folder / RUN).glob("search/**/best.json"):
        path.write_text(best)
    assert nastool("db", "prune", "--yes", cwd=job.folder).code == 0
    uid = json.loads(best)["profile_runs"][0]
    code, text = _verified(job, nastool)
    gone = f"since the profile that it came from (run {uid[:8]}) is not in latency.sqlite any more"
    assert code == 0, text
    assert text.count(gone) == 2, "that of best.json, and that of the manifest"


@pytest.mark.long
def test_files_that_do_not_name_their_profile(job: Any, nastool: Nastool) -> None:
    _without_profile_runs(job.folder / RUN)
    code, text = _verified(job, nastool)
    assert (code, "not checked" in text) == (0, False), "there is one profile, and it is the one"
    _field("export/manifest.json", "costs", "latency_ms", change=lambda ms: 0.9 * ms)(job.folder / RUN)
    code, text = _verified(job, nastool)
    assert (code, "costs.latency_ms is" in text) == (1, True)
    assert nastool("profile", "--run", "r", cwd=job.folder).code == 0
    code, text = _verified(job, nastool)
    assert code == 0
    assert text.count("its file does not name the profile that it came from, and there are several") == 2


def test_a_changed_page_fails(job: Any, nastool: Nastool) -> None:
    assert nastool("report", "r", cwd=job.folder).code == 0
    assert nastool("report", "r", "--verify", cwd=job.folder).code == 0
    page = job.folder / RUN / "report.html"
    accuracy = f"{job.answers['export'].json['test_accuracy']:.2%}</data>"
    written = page.read_text()
    assert accuracy in written
    page.write_text(written.replace(accuracy, "99.99%</data>"))
    answer = nastool("report", "r", "--verify", cwd=job.folder)
    assert answer.code == 1
    assert "report.html: budgets.0.test.share is '99.99%'" in " ".join(answer.stderr.split())
    page.write_text(written)
    _append("env.json", b" ")(job.folder / RUN)
    answer = nastool("report", "r", "--verify", cwd=job.folder)
    assert (answer.code, "Run nastool report again" in answer.stderr) == (1, True)


@pytest.mark.long
@pytest.mark.parametrize("ties", ["macs", "accuracy"])
def test_a_winner_of_each_tie_rule_is_verified(ties: str, job: Any, nastool: Nastool) -> None:
    """200 hold-out images have a standard error of three points, so that most candidates are tied."""
    assert nastool("search", "--macs", "34k", "--ties", ties, "--run", "r", cwd=job.folder).code == 0
    answer = nastool("report", "r", "--verify", "--json", cwd=job.folder)
    assert (answer.code, answer.json["differences"]) == (0, [])


@pytest.mark.long
def test_a_winner_with_fewer_macs_than_a_tied_candidate_is_a_difference(job: Any, nastool: Nastool) -> None:
    assert nastool("search", "--macs", "30k", "--run", "r", cwd=job.folder).code == 0
    config = job.folder / RUN / "config.toml"
    changed = config.read_text().replace('ties = "accuracy"', 'ties = "macs"')
    assert changed != config.read_text()
    config.write_text(changed)
    code, text = _verified(job, nastool)
    assert (code, "is within the limits and preferred to the winner" in text) == (1, True)
