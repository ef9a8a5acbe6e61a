"""Profiling on the device whose latency is known: what it costs is what is stored."""

import shutil
import sqlite3
from collections.abc import Mapping
from pathlib import Path

import pytest

from exporters.backends import fake
from exporters.errors import DeviceMissing, UnknownBackend, UnknownDevice
from exporters.graph.anchor import BATCH, write_anchor
from latency_db.errors import DatabaseUnwritable, MissingLatency
from latency_db.store import Store
from latency_db.table import LatencyTable, Sample
from toolchain.config import Config
from toolchain.costs.latency import block_key, head_key, latency_cost, stem_key
from toolchain.errors import BadConfig
from toolchain.measuring.export_for_timing import export_for_timing
from toolchain.measuring.from_config import measurement_plan, require_target
from toolchain.measuring.rounds import summarize_files
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.network import Network
from toolchain.profiling.profiler import Profiled, profile, profile_if_missing
from toolchain.profiling.stored_table import load_table
from toolchain.profiling.variants import variants
from toolchain.progress import Progress, Quiet, Task
from toolchain.spaces import load_space
from toolchain.spaces.core import SearchSpace

Known = dict[str, float]


class Killed(BaseException):
    pass


class KilledAfter(Quiet):
    """Kills once `steps` parts were timed."""

    def __init__(self, steps: int) -> None:
        self._left = steps
        self._timing = False

    def start(self, title: str, total: int, done: int = 0) -> Task:
        self._timing = title == "time variants"
        return self

    def advance(self, steps: int = 1, note: str = "") -> None:
        if self._timing:
            self._left -= 1
            if self._left < 0:
                raise Killed


class Log(Quiet):
    """Remembers what was begun and said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def start(self, title: str, total: int, done: int = 0) -> Task:
        self.lines.append(f"{title} {done}/{total}")
        return super().start(title, total, done)

    def say(self, text: str) -> None:
        self.lines.append(text)


def on_fake(config: Config, db: Path | str, **changes: object) -> Config:
    profile = config.profile.model_copy(
        update={"backend": "fake", "rounds": 3, "batch": 8, "networks": 0, "db": str(db)} | changes
    )
    return config.model_copy(update={"profile": profile})


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    """One choice block: exporting a part takes most of a profile's time."""
    return load_space("shufflenet_v2_quick:size_px=16,stem_channels=8,stage_widths=16,stage_repeats=1,head_channels=32")


@pytest.fixture(scope="module")
def known(space: SearchSpace, tmp_path_factory: pytest.TempPathFactory) -> Known:
    """Each part's latency in ms at batch 8, as the fake device has it."""
    folder = tmp_path_factory.mktemp("parts")
    result = {}
    for number, variant in enumerate(variants(space)):
        export_for_timing(variant.build(), variant.input_shape, folder / f"{number}.onnx")
        result[variant.key] = fake.latency_ms(folder / f"{number}.onnx", batch=8)
    return result


@pytest.fixture(scope="module")
def first(space: SearchSpace, tmp_path_factory: pytest.TempPathFactory) -> Profiled:
    """One profile, for tests to look at or to copy."""
    return profile(on_fake(Config(), tmp_path_factory.mktemp("db") / "latency.sqlite"), space, Quiet())


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return on_fake(Config(), tmp_path / "latency.sqlite")


@pytest.fixture
def profiled(first: Profiled, config: Config) -> Config:
    """Settings whose table holds the first profile."""
    shutil.copy(first.db, config.profile.db)
    return config


def rows(db: str, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(db)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def first_reference_ms(config: Config) -> float:
    """What the fake device needs for the anchor network."""
    path = Path(config.profile.db).with_name("anchor.onnx")
    write_anchor(path)
    return fake.latency_ms(path, BATCH)


def test_stores_the_devices_latencies(first: Profiled, profiled: Config, space: SearchSpace, known: Known) -> None:
    assert {key: row.summary.latency_ms for key, row in first.table.records.items()} == known
    assert {row.summary.rounds for row in first.table.records.values()} == {3}
    assert {row.summary.n for row in first.table.records.values()} == {3 * 8}
    assert first.table.unstable() == {}
    (anchor_ms,) = {row.summary.anchor_ms for row in first.table.records.values()}
    assert anchor_ms == first_reference_ms(profiled)
    assert {row.summary.mad_ms for row in first.table.records.values()} == {0.0}
    assert (first.target.backend, first.target.batch, first.target.threads) == ("fake", 8, 1)
    assert load_table(space, first.target, profiled.profile.db) == first.table


def test_a_networks_latency_is_the_sum_over_its_parts(
    first: Profiled, config: Config, space: SearchSpace, known: Known, tmp_path: Path
) -> None:
    cost = latency_cost(space, first.table)
    for choice in space.blocks[0].choices:
        arch = space.architecture([choice.key])
        expected = known[stem_key(space)] + known[block_key(space, space.blocks[0], choice)] + known[head_key(space)]
        assert cost.cost(arch) == pytest.approx(expected, rel=1e-12)
    file = tmp_path / "whole.onnx"
    export_for_timing(Network(space, arch, STANDALONE), space.input_shape, file)
    target, plan = require_target(config.profile), measurement_plan(config)
    whole = summarize_files({"whole": file}, target, plan, config.profile.db, Quiet())["whole"].latency_ms
    assert whole == fake.latency_ms(file, batch=8)
    # the parts' convolutions are those of the whole; a few nodes more or fewer stand between them
    assert whole == pytest.approx(cost.cost(arch), abs=5 * fake.NS_PER_NODE / 1e6)


@pytest.mark.parametrize(
    ("parts_timed", "rounds_kept"),
    [pytest.param(3, 0, marks=pytest.mark.long), (9, 1), pytest.param(20, 2, marks=pytest.mark.long)],
)
def test_a_killed_profile_resumes_with_its_round(
    config: Config, space: SearchSpace, known: Known, parts_timed: int, rounds_kept: int
) -> None:
    with pytest.raises(Killed):
        profile(config, space, KilledAfter(parts_timed))
    assert (
        load_table(space, require_target(config.profile).target, config.profile.db).records == {}
    )  # what is half done is not read
    log = Log()
    table = profile(config, space, log).table
    assert f"time variants {7 * rounds_kept}/21" in log.lines
    assert [line for line in log.lines if "resuming" in line] == (
        [f"resuming with round {rounds_kept + 1} of 3"] if rounds_kept else []
    )
    assert {key: row.summary.latency_ms for key, row in table.records.items()} == known
    assert rows(config.profile.db, "SELECT count(*), count(finished_at) FROM profile_runs") == [(1, 1)]
    assert rows(config.profile.db, "SELECT DISTINCT count(*) FROM samples GROUP BY key") == [(3,)]


BUSY = "fake:burst=0.97,burst_slower=3,seed=1"  # throttles nearly all the time


@pytest.mark.long
def test_what_cannot_be_trusted_is_measured_again_and_then_marked_also_after_a_kill(
    config: Config, space: SearchSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = on_fake(config, config.profile.db, backend=BUSY, quiet_timeout_s=0.0)
    add_round = Store.add_round

    def killed_after_round_4(store: Store, run_id: int, number: int, samples: Mapping[str, Sample]) -> None:
        add_round(store, run_id, number, samples)
        if number == 3:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Store, "add_round", killed_after_round_4)
        with pytest.raises(Killed):
            profile(busy, space, Quiet())
    stored = "SELECT round, key, busy_ms_min FROM samples ORDER BY round, key"
    kept = rows(config.profile.db, stored)
    assert {row[0] for row in kept} == {0, 1, 2, 3}

    log = Log()
    table = profile(busy, space, log).table
    assert "resuming with round 5" in log.lines
    assert any(line.startswith("timing unstable files again, from round 5: ") for line in log.lines)
    assert rows(config.profile.db, stored)[: len(kept)] == kept
    assert rows(config.profile.db, "SELECT count(*), count(finished_at) FROM profile_runs") == [(1, 1)]
    assert log.lines[-1].startswith("still unstable, and marked as such: ")
    assert table.unstable()
    assert set(table.unstable().values()) <= {f"the device throttled in {n} of 6 rounds" for n in (5, 6)}
    assert load_table(space, table.target, busy.profile.db).unstable() == table.unstable()


def stored_or_measured(config: Config, space: SearchSpace, progress: Progress) -> LatencyTable:
    plan, target = measurement_plan(config), require_target(config.profile)
    return profile_if_missing(space, target, plan, config.profile.db, progress).table


def test_what_was_measured_is_not_measured_again(first: Profiled, profiled: Config, space: SearchSpace) -> None:
    log = Log()
    assert stored_or_measured(profiled, space, log) == first.table
    assert log.lines == []
    assert rows(profiled.profile.db, "SELECT count(*) FROM profile_runs") == [(1,)]


@pytest.mark.long
def test_another_batch_is_measured_and_the_first_stays(first: Profiled, profiled: Config, space: SearchSpace) -> None:
    other = stored_or_measured(on_fake(profiled, profiled.profile.db, batch=16), space, Quiet())
    assert other.latency_ms(head_key(space)) > first.table.latency_ms(head_key(space))
    assert load_table(space, first.target, profiled.profile.db) == first.table


@pytest.mark.long
def test_a_second_profile_is_added_and_counts(first: Profiled, profiled: Config, space: SearchSpace) -> None:
    again = profile(profiled, space, Quiet()).table
    assert {row.run_id for row in again.records.values()}.isdisjoint(row.run_id for row in first.table.records.values())
    assert rows(profiled.profile.db, "SELECT count(*) FROM profile_runs") == [(2,)]


@pytest.mark.long
def test_int8_has_records_of_its_own(first: Profiled, profiled: Config, space: SearchSpace) -> None:
    config = profiled.model_copy(update={"profile": profiled.profile.model_copy(update={"precision": "int8"})})
    measured = profile(config, space, Quiet())
    assert (measured.target.precision, measured.target.compute_precision) == ("int8", "int8")
    assert load_table(space, measured.target, config.profile.db).records.keys() == measured.table.records.keys()
    assert load_table(space, first.target, profiled.profile.db) == first.table


LOW_BIT = (
    "resnet18_bits:size_px=8,in_channels=1,classes=10,stem_kernel=3,stem_stride=1,stem_pool=false,stage_widths=4,"
    "stage_repeats=2,widths=1.0"
)


def test_choices_that_differ_in_their_bits_share_an_int8_container(config: Config) -> None:
    space = load_space(f"{LOW_BIT},bits=w2a2-w4a4-float")
    measured = profile(config, space, Quiet())
    assert set(measured.table.records) == {
        "resnet/stem:1x8px->4k3s1->4:fp32",
        "resnet/head:4x8px->0->10:fp32",
        "resnet/basic:int8:4x8px->4s1",
        "resnet/basic:4x8px->4s1:fp32",
    }
    assert measured.target.precision == "int8"
    cost = latency_cost(space, measured.table)
    two, four, floats = (cost.rows[0][key] for key in ("basic:w2a2", "basic:w4a4", "basic"))
    assert two == four != floats
    assert "in int8 containers" in cost.convention


def test_low_bit_networks_have_no_estimate(config: Config) -> None:
    estimate = config.profile.model_copy(update={"estimate": True, "device": "titanxp", "backend": "auto"})
    with pytest.raises(BadConfig, match="run in int8 containers, and estimates are made in fp32"):
        profile(config.model_copy(update={"profile": estimate}), load_space(LOW_BIT), Quiet())


def test_a_part_that_was_not_measured_is_an_error(first: Profiled, profiled: Config) -> None:
    wider = load_space(
        "shufflenet_v2_quick:size_px=16,stem_channels=8,stage_widths=20,stage_repeats=1,head_channels=32"
    )
    with pytest.raises(MissingLatency, match="shufflenet_v2/head:20x4px->32->10 was not measured"):
        latency_cost(wider, load_table(wider, first.target, profiled.profile.db))


def test_nothing_to_measure_on_is_named(config: Config, space: SearchSpace) -> None:
    with pytest.raises(UnknownDevice, match="'tpu' is not attached"):
        profile(on_fake(config, config.profile.db, device="tpu"), space, Quiet())
    with pytest.raises(DeviceMissing, match=r"titanxp \(NVIDIA TITAN Xp\) is not attached"):
        profile(on_fake(config, config.profile.db, device="titanxp"), space, Quiet())
    with pytest.raises(UnknownBackend, match="unknown backend 'none'"):
        profile(on_fake(config, config.profile.db, backend="none"), space, Quiet())
    assert not Path(config.profile.db).exists()


def test_a_missing_lock_folder_is_reported_before_anything_is_exported(
    config: Config, space: SearchSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NASTOOL_LOCKS", str(tmp_path / "gone"))
    log = Log()
    with pytest.raises(DatabaseUnwritable, match=r"gone for lock files.*does not exist"):
        profile(config, space, log)
    assert log.lines == []


@pytest.mark.long
def test_a_table_is_the_same_from_its_own_runs(tiny_config: Config, space: SearchSpace, tmp_path: Path) -> None:
    """Whatever is profiled later, and also where an interrupted measurement makes a table of several runs."""
    db = tmp_path / "latency.sqlite"
    tables = []
    for noise in ("0.3", "0.4", "0.2"):
        config = on_fake(tiny_config, db, backend=f"fake:noise={noise},seed={len(tables)}", networks=2)
        tables.append(profile(config, space, Quiet()).table)
    runs = [table.profile_runs for table in tables]
    assert len(set(runs)) == 3
    for table in tables:
        assert load_table(space, table.target, str(db), table.profile_runs) == table
    assert tables[0].records != tables[1].records != tables[2].records
