"""`--verify`: journals, retrained networks, exports, shrink results and the page agree with each other."""

from html.parser import HTMLParser
from math import inf
from pathlib import Path

from exporters.manifest import sha256
from latency_db.errors import MissingLatency
from toolchain.check.kept_verdict import read_verdict
from toolchain.check.outcome import Outcome, worst
from toolchain.costs.counted import counted_by_name
from toolchain.costs.latency import latency_model
from toolchain.export.bundle import LABELS, PREPROCESSING
from toolchain.export.manifest import Manifest, PreprocessingRecord
from toolchain.files import read_document
from toolchain.nets.model_space.weights import original_space
from toolchain.run_report.build import build_report
from toolchain.run_report.comparison import EXACT, Comparison
from toolchain.run_report.files_of_report import PAGE
from toolchain.run_report.page import document_of, field_of, formatted, json_text
from toolchain.run_report.run_files import RunFiles
from toolchain.runs import VERDICT
from toolchain.shrink.original import Original
from toolchain.shrink.result import changes_of, channels_between
from toolchain.spaces.model_source import full_architecture
from toolchain.training.accuracy_interval import wilson
from toolchain.training.retrained import read_network

EXPORT_REMEDY = "Run nastool export again"


def verify_journals(files: RunFiles, compared: Comparison) -> None:
    """Scores belong to this supernet and data, and each architecture has one score."""
    images = files.last_winner.holdout_images if files.last_winner else None
    for path in (files.run.candidates, files.run.raced):
        header = files.journal(path)
        if header is None:
            continue
        stored = header.fingerprint
        if files.run.supernet.exists():
            digest = sha256(files.run.supernet)
            compared.same(f"search/{path.name}: supernet_sha256", stored.get("supernet_sha256"), digest)
        compared.same(f"search/{path.name}: seed", stored.get("seed"), files.config.seed)
        if files.last_winner is not None:
            compared.same(f"search/{path.name}: data_digest", stored.get("data_digest"), files.last_winner.data_digest)
    scores: dict[tuple[str, ...], float] = {}
    for line in files.candidates:
        where = f"the journal's accuracy of {' '.join(line.architecture)}"
        compared.same(where, line.accuracy, scores.setdefault(line.architecture, line.accuracy))
        compared.whole(where, line.accuracy, images)
        if line.score.correct is not None:
            compared.same(where, line.accuracy, float(line.score.correct.mean()), EXACT)
    if (measured := files.journal(files.run.measured)) is not None:
        stored_digest = measured.fingerprint.get("space_digest")
        compared.same("search/measured.jsonl: space_digest", stored_digest, files.space.digest)
    for timed in files.measured:
        if timed.upper_ms is not None:
            what = f"search/measured.jsonl: {' '.join(timed.architecture)} has an upper end below its latency"
            compared.holds(what, timed.upper_ms >= timed.latency_ms)


def verify_front(files: RunFiles, compared: Comparison) -> None:
    """The entries of front.json have the journal's accuracies and their own costs, and none beats another."""
    if files.front is None:
        return
    cost, before = files.front.cost, None
    for number, entry in enumerate(files.front.front):
        at = f"search/front.json: front.{number}"
        known = [line.accuracy for line in files.candidates if line.architecture == entry.architecture]
        compared.among(f"{at}.holdout_accuracy", entry.holdout_accuracy, known, "the journal")
        value = entry.as_json().get(cost)
        if cost in files.counted:
            counted = int(files.counted[cost].cost(files.space.architecture(entry.architecture)))
            compared.same(f"{at}.{cost}", value, counted)
        if before is not None:
            rises = entry.holdout_accuracy > before.holdout_accuracy
            compared.holds(f"{at} is not more accurate than the cheaper entry before it", rises)
        before = entry


def verify_retrained(files: RunFiles, compared: Comparison) -> None:
    """Each result belongs to the weights beside it."""
    for choices, result in files.retrained.items():
        arch = files.space.architecture(choices)
        folder = files.run.retrain(arch)
        where = f"retrain/{folder.name}/result.json"
        compared.holds(f"{where}: another architecture than its folder", (folder / "result.json").exists())
        stored = result.fingerprint
        compared.same(f"{where}: space", result.space, files.space.name)
        compared.same(f"{where}: fingerprint.space_digest", stored.get("space_digest"), files.space.digest)
        compared.same(f"{where}: fingerprint.architecture", stored.get("architecture"), list(choices))
        compared.whole(f"{where}: holdout_accuracy", result.holdout_accuracy, result.holdout_images)
        compared.whole(f"{where}: test_accuracy", result.test_accuracy, result.test_images)
        read_network(files.space, arch, files.run)  # refuses damaged weights, and those of another space


def verify_exports(files: RunFiles, compared: Comparison) -> None:
    """Manifests have the figures of the retrained networks, and the digests of the files beside them."""
    for folder, manifest in files.manifests.items():
        where = f"{folder.relative_to(files.run.folder)}/manifest.json"
        _verify_costs(files, manifest, where, compared)
        _verify_accuracies(files, manifest, where, compared)
        own = manifest.models.get("model.onnx")
        if own is not None:
            compared.same(f"{where}: measured_latency_ms", manifest.measured_latency_ms, own.measured_latency_ms)
            compared.same(f"{where}: parity", manifest.parity, own.parity)
        compared.same(f"{where}: run", manifest.run, files.run.folder.name)
        limits = [winner.limits for winner in files.winners.values() if winner.architecture == manifest.architecture]
        if manifest.limits:
            compared.among(f"{where}: limits", manifest.limits, limits, "no winner with this architecture")
        _verify_check(folder, manifest, where.replace("manifest.json", VERDICT), compared)
        for name, record in manifest.files.items():
            compared.same(f"{where}: files.{name}", (record.sha256, record.bytes), _digest(folder / name))
        _verify_companions(folder, manifest, where, compared)


def _verify_check(folder: Path, manifest: Manifest, where: str, compared: Comparison) -> None:
    """The kept verdict is the worst of its findings, and that on the budget follows from interval and limit."""
    kept = read_verdict(folder, manifest)
    if kept is None:
        return
    outcomes = {finding.about: finding.outcome for finding in kept.findings}
    compared.same(f"{where}: verdict", kept.verdict.value, worst(outcomes.values()).value)
    low, high = kept.latency_interval_ms
    in_order = (-inf if low is None else low) <= kept.measured_latency_ms <= (inf if high is None else high)
    compared.holds(f"{where}: measured_latency_ms is outside of latency_interval_ms", in_order)
    if kept.limit_ms is not None:
        within = high is not None and high <= kept.limit_ms
        passed = outcomes.get("budget") is Outcome.PASS
        compared.holds(
            f"{where}: the verdict on the budget does not follow from its latency and limit", passed == within
        )


def _digest(path: Path) -> tuple[str, int] | None:
    return (sha256(path), path.stat().st_size) if path.is_file() else None


def _verify_costs(files: RunFiles, manifest: Manifest, where: str, compared: Comparison) -> None:
    arch = files.space.architecture(manifest.architecture)
    for name, cost in files.counted.items():
        compared.same(f"{where}: costs.{name}", getattr(manifest.costs, name), int(cost.cost(arch)))
    stored_ms, measurements = manifest.costs.latency_ms, files.measurements
    if stored_ms is None:
        return
    reason = measurements.why_missing(manifest.target.id, manifest.profile_runs)
    predicted_ms = None if reason else _predicted_ms(files, manifest)
    if predicted_ms is None:
        reason = reason or measurements.no_records
    elif not manifest.profile_runs:
        reason = measurements.why_another(manifest.target.id, stored_ms, predicted_ms)
    if reason:
        compared.notes.append(f"the prediction in {where}, since {reason}")
    else:
        compared.same(f"{where}: costs.latency_ms", stored_ms, predicted_ms, EXACT)


def _predicted_ms(files: RunFiles, manifest: Manifest) -> float | None:
    """The prediction from the records that the manifest names; None if they do not cover the space."""
    table = files.measurements.table(manifest.target.id, manifest.profile_runs)
    if table is None:
        return None
    try:
        return latency_model(files.space, table).predicted.cost(files.space.architecture(manifest.architecture))
    except MissingLatency:
        return None


def _verify_accuracies(files: RunFiles, manifest: Manifest, where: str, compared: Comparison) -> None:
    result = files.retrained.get(manifest.architecture)
    if result is None:
        compared.notes.append(f"the accuracies in {where}, since its network is not among the retrained ones")
        return
    for part in ("test", "holdout"):
        share, images = getattr(manifest, f"{part}_accuracy"), getattr(manifest, f"{part}_images")
        compared.same(f"{where}: {part}_accuracy", share, getattr(result, f"{part}_accuracy"))
        if images is not None:
            compared.same(f"{where}: {part}_images", images, getattr(result, f"{part}_images") or images)
            ends = getattr(manifest, f"{part}_accuracy_interval")
            compared.same(f"{where}: {part}_accuracy_interval", ends, wilson(share, images))
    compared.same(f"{where}: training", manifest.training, {**result.fingerprint, "steps": result.steps})


def _verify_companions(folder: Path, manifest: Manifest, where: str, compared: Comparison) -> None:
    if (folder / LABELS).is_file():
        labels = tuple((folder / LABELS).read_text().removesuffix("\n").split("\n"))
        compared.same(f"{where}: classes", manifest.classes, labels)
    if (folder / PREPROCESSING).is_file():
        beside = read_document(folder / PREPROCESSING, PreprocessingRecord, EXPORT_REMEDY)
        compared.same(f"{where}: preprocessing", manifest.preprocessing, beside)


def verify_shrink(files: RunFiles, compared: Comparison) -> None:
    """The comparison with the original has the figures of the original and of the retrained network."""
    result = files.shrink
    if result is None:
        return
    where, original_path = "shrink/result.json", files.run.shrink / "original.json"
    original = read_document(original_path, Original, "Run nastool shrink again")
    whole = original_space(files.space)
    arch, full = files.space.architecture(result.architecture), full_architecture(whole)
    sides = (
        ("original", result.original, original, full, counted_by_name(whole)),
        ("shrunk", result.shrunk, None, arch, files.counted),
    )
    for side, figures, known, network, counts in sides:
        accuracies = known or files.retrained.get(network.choices)
        if accuracies is not None:
            for field in ("test_accuracy", "holdout_accuracy"):
                compared.same(f"{where}: {side}.{field}", getattr(figures, field), getattr(accuracies, field))
        for field in ("macs", "params"):
            counted = int(counts[field].cost(network))
            compared.same(f"{where}: {side}.{field}", getattr(figures, field), counted)
    compared.same(f"{where}: original.file_bytes", result.original.file_bytes, files.run.original.stat().st_size)
    compared.same(f"{where}: changes", result.changes, changes_of(files.space, arch))
    compared.same(f"{where}: channels_between", result.channels_between, channels_between(files.space))
    for number, entry in enumerate(result.front):
        known_scores = [line.accuracy for line in files.candidates if line.architecture == entry.architecture]
        compared.among(f"{where}: front.{number}", entry.holdout_accuracy, known_scores, "the journal")


def verify_page(files: RunFiles, compared: Comparison) -> None:
    """report.html has the figures of the run as it is now, in its document and in its text."""
    path = files.run.folder / PAGE
    if not path.exists():
        return
    html = path.read_text(errors="replace")
    report = build_report(files)
    if any("latency table" in note for note in report.notes):
        compared.notes.append(f"{PAGE}, since the latency table that it was made with is not here")
        return
    compared.holds(
        f"{PAGE} was written before the run changed, or was changed itself. Run nastool report again",
        document_of(html) == json_text(report),
    )
    content = report.model_dump(mode="json")
    for field, form, text in _Fields.of(html):
        try:
            expected = formatted(field_of(content, field), form)
        except (KeyError, IndexError, ValueError):
            expected = "nothing"
        compared.same(f"{PAGE}: {field}", text, expected)


class _Fields(HTMLParser):
    """The figures in the text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self._place: tuple[str, str] | None = None
        self.fields: list[tuple[str, str, str]] = []

    @classmethod
    def of(cls, html: str) -> list[tuple[str, str, str]]:
        """(field, form, text) of each."""
        parser = cls()
        parser.feed(html)
        return parser.fields

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "data":
            self._place = (given.get("data-field") or "", given.get("data-form") or "")

    def handle_data(self, data: str) -> None:
        if self._place is not None:
            self.fields.append((*self._place, data))
            self._place = None
