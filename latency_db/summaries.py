"""From the samples of runs to records: summaries with the drift of the machine's speed taken out."""

from collections.abc import Iterable
from dataclasses import replace

from latency_db.drift_correction import correct_drift
from latency_db.runs import RunSamples
from latency_db.table import Record, summarize
from latency_db.target import Target


def records_of(run: RunSamples, target: Target) -> dict[str, Record]:
    """The records of one run, by key."""
    corrected_ms = correct_drift(run.timings, target.threads)
    records = {}
    for key, samples in run.samples.items():
        summary = summarize(samples, target.threads, target.device_kind)
        latency_ms = corrected_ms.get(key, summary.latency_ms)
        records[key] = Record(key, replace(summary, latency_ms=latency_ms), run.graph_hashes[key], run.run_id)
    return records


def newest_records(runs: Iterable[RunSamples], target: Target) -> dict[str, Record]:
    """The records of several runs that have no key in common."""
    return {key: record for run in runs for key, record in records_of(run, target).items()}
