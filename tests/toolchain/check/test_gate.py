"""The latency gate, on the device whose latency is known."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from exporters.backends.fake import latency_ms
from exporters.graph.model import Model
from latency_db.errors import MissingLatency, TargetMismatch
from latency_db.runs import NewRun
from latency_db.store import open_store
from toolchain.check import gate
from toolchain.check.baseline import read_baseline
from toolchain.check.gate import check
from toolchain.check.judge import MIN_ROUNDS_ALONE
from toolchain.check.measure import Request, measure_in_fresh_process, request_files
from toolchain.check.outcome import Outcome
from toolchain.check.requirements import CheckedFile, requirements_of
from toolchain.check.verdict import Judgment
from toolchain.config import Config
from toolchain.errors import BadConfig, BadModel, BadUnit, Inconclusive, MissingStage
from toolchain.measuring.from_config import measurement_plan, require_target, target_spec
from toolchain.measuring.rounds import time_rounds
from toolchain.measuring.timed_file import TimedFile
from toolchain.progress import Progress, Quiet


class Saying(Quiet):
    """Remembers what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def confirmed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process takes seconds to start, and that it measures the same is tested once."""

    def measure(request: Request, progress: Progress, title: str) -> Judgment:
        return gate.measure_in_process(request, request_files(request), progress, title)

    monkeypatch.setattr(gate, "measure_in_fresh_process", measure)


def with_more_nodes(file: Path, folder: Path, nodes: int) -> Path:
    """The same network with `nodes` more operators behind it; each costs 2 us on the fake device."""
    model = onnx.load(file)
    output = model.graph.output[0]
    inner = output.name + "_inner"
    for node in model.graph.node:
        node.output[:] = [inner if name == output.name else name for name in node.output]
    names = [inner, *(f"more_{i}" for i in range(nodes - 1)), output.name]
    for before, after in pairwise(names):
        model.graph.node.append(helper.make_node("Identity", [before], [after]))
    path = folder / "more.onnx"
    onnx.save(model, path)
    return path


def baseline(folder: Path, file: Path, config: Config, ms: float) -> Path:
    """An answer of `check --json` on this stack, with other latencies written into it."""
    verdict = check(config, CheckedFile(file, 1e9), None, Quiet())
    path = folder / "baseline.json"
    rounds = [[ms, reference] for _, reference in verdict.judgment.rounds]
    path.write_text(json.dumps({**verdict.as_dict(), "rounds_ms": rounds}))
    return path


def test_within_the_limit(file: Path, config: Config, ms: float) -> None:
    seen = Saying()
    verdict = check(config, CheckedFile(file, ms), None, seen)  # a limit may be used up
    assert (verdict.latency_ms, verdict.requirements.limit_ms, verdict.problems) == (ms, ms, ())
    assert verdict.outcome is Outcome.PASS
    assert seen.said == []
    report = verdict.as_dict()
    assert (report["verdict"], report["passed"], report["confirmed_in_a_fresh_process"]) == ("pass", True, False)
    assert report["latency_interval_ms"] == [ms, ms]
    assert len(report["rounds_ms"]) == MIN_ROUNDS_ALONE
    assert report["graph_hash"] == Model(file).graph_hash
    assert json.loads(json.dumps(report)) == report


@pytest.mark.long
def test_over_the_limit_is_measured_in_a_fresh_process_before_it_counts(file: Path, config: Config, ms: float) -> None:
    seen = Saying()
    verdict = check(config, CheckedFile(file, ms * 0.999), None, seen)
    (problem,) = verdict.problems
    assert problem.startswith("over the budget: ")
    assert seen.said == ["the check failed: measuring again in a fresh process, for up to 30 s"]
    assert verdict.first is not None
    assert verdict.first.outcome is Outcome.FAIL
    assert verdict.as_dict()["confirmed_in_a_fresh_process"] is True
    assert verdict.as_dict()["passed"] is False


def test_the_fresh_process_decides(file: Path, config: Config, ms: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was unlucky with its memory is overruled: the second one measures it within the limit."""
    passed = check(config, CheckedFile(file, ms), None, Quiet()).judgment
    monkeypatch.setattr(gate, "measure_in_fresh_process", lambda request, progress, title: passed)
    verdict = check(config, CheckedFile(file, ms * 0.999), None, Quiet())
    assert verdict.outcome is Outcome.PASS
    assert verdict.first is not None


def test_a_fresh_process_measures_what_this_one_does(file: Path, config: Config, ms: float) -> None:
    target = require_target(config.profile)
    request = Request(
        target.spec,
        measurement_plan(config),
        config.profile.db,
        file,
        file,
        None,
        requirements_of(config.check, CheckedFile(file, ms)),
    )
    here, afresh = (
        gate.measure_in_process(request, request_files(request), Quiet(), "here"),
        measure_in_fresh_process(request, Quiet(), "afresh"),
    )
    assert replace(afresh, seconds=0.0) == replace(
        here, seconds=0.0, findings=afresh.findings, rounds=[*map(tuple, here.rounds)]
    )


@pytest.mark.long
def test_a_fresh_process_that_dies_is_no_answer(config: Config, tmp_path: Path) -> None:
    plan, gone = measurement_plan(config), tmp_path / "gone.onnx"
    request = Request(
        target_spec(config.profile),
        plan,
        config.profile.db,
        gone,
        None,
        None,
        requirements_of(config.check, CheckedFile(gone, 1.0)),
    )
    with pytest.raises(Inconclusive, match=r"ended with code 1: .*gone\.onnx.*Run the same command again"):
        measure_in_fresh_process(request, Quiet(), "afresh")


@pytest.mark.usefixtures("confirmed_here")
@pytest.mark.parametrize(("slower_by", "passes"), [(0.04, True), (0.06, False), (-0.5, True)])
def test_against_a_baseline(
    file: Path, config: Config, ms: float, slower_by: float, passes: bool, tmp_path: Path
) -> None:
    earlier = baseline(tmp_path, file, config, ms / (1 + slower_by))
    verdict = check(config, CheckedFile(file), earlier, Quiet())
    assert (verdict.problems == ()) == passes
    assert verdict.as_dict()["ratio"] == pytest.approx(1 + slower_by)
    if not passes:
        assert "slower than the baseline by 6.0%" in verdict.problems[0]
        assert "5.0% allowed" in verdict.problems[0]


@pytest.mark.usefixtures("confirmed_here")
@pytest.mark.parametrize(("nodes", "outcome"), [(1, Outcome.PASS), (3, Outcome.FAIL)])
def test_against_another_build(
    nodes: int, outcome: Outcome, file: Path, config: Config, ms: float, tmp_path: Path
) -> None:
    more = with_more_nodes(file, tmp_path, nodes)
    slower_by = latency_ms(more, config.profile.batch) / ms - 1
    slack = {"max_regression": f"{(slower_by * (1.5 if outcome is Outcome.PASS else 0.5)):.4%}"}
    config = config.model_copy(update={"check": config.check.model_copy(update=slack)})
    verdict = check(config, CheckedFile(more), file, Quiet())
    assert verdict.outcome is outcome
    assert verdict.as_dict()["ratio"] == pytest.approx(1 + slower_by)
    assert verdict.judgment.baseline_ms == ms
    assert verdict.as_dict()["baseline"] == str(file)


@pytest.mark.usefixtures("confirmed_here")
def test_both_problems_are_reported(file: Path, config: Config, ms: float, tmp_path: Path) -> None:
    verdict = check(config, CheckedFile(file, ms / 2), baseline(tmp_path, file, config, ms / 2), Quiet())
    assert len(verdict.problems) == 2


def test_a_baseline_of_another_stack_is_refused_by_field(file: Path, config: Config, ms: float, tmp_path: Path) -> None:
    earlier = baseline(tmp_path, file, config, ms)
    target = check(config, CheckedFile(file, 1e9), None, Quiet()).target
    stored = read_baseline(earlier, target).stored
    assert stored is not None
    assert stored[0][0] == ms
    with pytest.raises(TargetMismatch, match=r"another target: batch: 16 here, 8 there; threads: 4 here, 1 there\."):
        read_baseline(earlier, replace(target, batch=16, threads=4))


@pytest.mark.parametrize(
    "field", ["device_model", "backend_version", "compute_precision", "clocks", "protocol_version"]
)
def test_any_field_of_the_target_counts(field: str, file: Path, config: Config, ms: float, tmp_path: Path) -> None:
    path = baseline(tmp_path, file, config, ms)
    content = json.loads(path.read_text())
    content["target"][field] = "other"
    path.write_text(json.dumps(content))
    with pytest.raises(TargetMismatch, match=f"another target: {field}: .* here, other there"):
        check(config, CheckedFile(file), path, Quiet())


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[1]",
        '{"schema_version": 1, "rounds_ms": [["x", 1]], "target": {}}',
        '{"schema_version": 1, "rounds_ms": [[1]], "target": {}}',
        '{"schema_version": 1, "rounds_ms": [], "target": {}}',
        '{"schema_version": 1, "rounds_ms": 3, "target": {}}',
        '{"schema_version": 1, "rounds_ms": [[1, 1]], "target": {"threads": 1}}',
        '{"schema_version": 9, "rounds_ms": [[1, 1]], "target": {}}',
        '{"measured_latency_ms": 1, "target": {}}',
        "\x00",
    ],
)
def test_what_is_no_baseline_is_refused(content: str, file: Path, config: Config, tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(content)
    with pytest.raises(BadConfig, match=r"baseline\.json is not a baseline"):
        check(config, CheckedFile(file), path, Quiet())


@pytest.mark.parametrize("ms_written", [0.0, -1.0, float("nan"), float("inf")])
def test_a_latency_that_can_not_be_is_no_baseline(
    ms_written: float, file: Path, config: Config, tmp_path: Path
) -> None:
    with pytest.raises(BadConfig, match=r"rounds_ms\.0\.0: Input should be"):
        check(config, CheckedFile(file), baseline(tmp_path, file, config, ms_written), Quiet())


def test_nothing_to_check(file: Path, config: Config, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"nothing to check against\. Give --latency 17ms, or --baseline FILE"):
        check(config, CheckedFile(file), None, Quiet())
    with pytest.raises(MissingStage, match=r"none\.onnx does not exist\. Run nastool export"):
        check(config, CheckedFile(tmp_path / "none.onnx", 1.0), None, Quiet())
    with pytest.raises(BadConfig, match="is not a baseline"):
        check(config, CheckedFile(file), tmp_path / "none.json", Quiet())
    with pytest.raises(BadConfig, match=r"the baseline .*old\.onnx does not exist"):
        check(config, CheckedFile(file), tmp_path / "old.onnx", Quiet())


def test_an_estimate_is_refused(file: Path, config: Config) -> None:
    estimate = config.profile.model_copy(update={"device": "titanxp", "estimate": True})
    with pytest.raises(BadConfig, match="nastool check measures, and titanxp would only be estimated"):
        check(config.model_copy(update={"profile": estimate}), CheckedFile(file, 1e9), None, Quiet())
    ready = require_target(estimate)  # resolved before, as by quickstart
    with pytest.raises(BadConfig, match="nastool check measures, and titanxp would only be estimated"):
        check(config, CheckedFile(file, 1e9), None, Quiet(), ready)


def test_a_baseline_of_few_rounds_is_refused_at_once(file: Path, config: Config, ms: float, tmp_path: Path) -> None:
    path = baseline(tmp_path, file, config, ms)
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"rounds_ms": content["rounds_ms"][:8]}))
    with pytest.raises(BadConfig, match=r"has 8 rounds, and 9 are needed at a confidence of 99 %\. Give a lower"):
        check(config, CheckedFile(file), path, Quiet())


@pytest.mark.parametrize("confidence", ["49%", "100%", "99.995%"])
def test_a_confidence_that_can_not_be_had(confidence: str, config: Config) -> None:
    config = config.model_copy(update={"check": config.check.model_copy(update={"confidence": confidence})})
    with pytest.raises(BadConfig, match=f"a confidence of {confidence} is out of range"):
        requirements_of(config.check, CheckedFile(Path("net.onnx")))


def test_percentages_need_their_sign(config: Config) -> None:
    config = config.model_copy(update={"check": config.check.model_copy(update={"max_regression": "5"})})
    with pytest.raises(BadUnit, match=r"percentage '5' cannot be read\. Write it as in --max-regression 5%"):
        requirements_of(config.check, CheckedFile(Path("net.onnx")))


def test_a_file_of_another_batch_is_refused_on_either_side(file: Path, config: Config, tmp_path: Path) -> None:
    images = helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, 4])
    logits = helper.make_tensor_value_info("y", TensorProto.FLOAT, [3, 4])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "fixed", [images], [logits])
    fixed = tmp_path / "fixed.onnx"
    onnx.save(helper.make_model(graph), fixed)
    for candidate, other in ((fixed, file), (file, fixed)):
        with pytest.raises(BadModel, match=r"fixed\.onnx takes batches of 3 only .*Give --batch 3"):
            check(config, CheckedFile(candidate), other, Quiet())


def stored_in_the_table(file: Path, config: Config, times: float, rounds: int = 12) -> None:
    """A finished run, as a profile or a search leaves it, in which the file took `times` as long as it does."""
    ready, plan = require_target(config.profile), replace(measurement_plan(config), rounds=rounds)
    timed = time_rounds({"network": TimedFile(file, ready)}, plan, config.profile.db, Quiet(), "")
    target, samples = ready.target, [round_ for _, round_ in timed]
    with open_store(config.profile.db) as store:
        run_id = store.begin_run(target, {"network": Model(file).graph_hash}, NewRun("a space", "0" * 16, "1", rounds))
        for number, round_ in enumerate(samples):
            sample = round_["network"]
            slower = replace(
                sample, busy_ms_min=sample.busy_ms_min * times, busy_ms_median=sample.busy_ms_median * times
            )
            store.add_round(run_id, number, {"network": slower})
        store.finish_run(run_id)


@pytest.mark.usefixtures("confirmed_here")
@pytest.mark.parametrize(("times", "outcome"), [(1.0, Outcome.PASS), (0.9, Outcome.FAIL)])
def test_against_the_table(times: float, outcome: Outcome, file: Path, config: Config) -> None:
    stored_in_the_table(file, config, 2.0)
    stored_in_the_table(file, config, times)  # the newest counts
    verdict = check(config, CheckedFile(file), Path("db"), Quiet())
    assert verdict.outcome is outcome
    assert verdict.as_dict()["ratio"] == pytest.approx(1 / times)
    assert "latency.sqlite, run 2 of 20" in verdict.as_dict()["baseline"]


def test_what_the_table_does_not_have(file: Path, config: Config, tmp_path: Path) -> None:
    digest = Model(file).graph_hash
    with pytest.raises(MissingLatency, match=f"has no measurement of a network with the graph hash {digest}"):
        check(config, CheckedFile(file), Path("db"), Quiet())
    assert not Path(config.profile.db).exists(), "to look into a table makes none"
    stored_in_the_table(with_more_nodes(file, tmp_path, 1), config, 1.0)
    with pytest.raises(MissingLatency):
        check(config, CheckedFile(file), Path("db"), Quiet())


def test_a_table_of_another_stack_is_refused_by_field(file: Path, config: Config) -> None:
    stored_in_the_table(file, config, 1.0)
    other = config.model_copy(update={"profile": config.profile.model_copy(update={"batch": 16})})
    with pytest.raises(TargetMismatch, match="this network on another target only: batch: 16 here, 8 there"):
        check(other, CheckedFile(file), Path("db"), Quiet())


def test_a_table_of_few_rounds_is_refused_at_once(file: Path, config: Config) -> None:
    stored_in_the_table(file, config, 1.0, rounds=2)
    with pytest.raises(BadConfig, match=r"run 1 of .* has 2 rounds, and 9 are needed"):
        check(config, CheckedFile(file), Path("db"), Quiet())
