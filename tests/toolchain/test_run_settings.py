"""A command takes what a run is about from the run's config.toml."""

from pathlib import Path
from typing import Any

import pytest

from toolchain.config import Config, config_in_run, load_config, read_given, unused_lines
from toolchain.errors import BadConfig
from toolchain.files import write_bytes
from toolchain.runs import Run, open_run, run_of

LABELS = {key: f"--{key.rpartition('.')[2].replace('_', '-')}" for key in ("space", "data", "seed", "widths")}


@pytest.fixture
def run(tiny_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run with a supernet, in a folder without nastool.toml."""
    monkeypatch.chdir(tmp_path)
    config = tiny_config.model_copy(update={"runs": Path("runs")})
    with open_run(config, make=True) as folder:
        write_bytes(folder.supernet, b"weights")
    return folder


def configured(flags: dict[str, Any], command: str = "search") -> Config:
    return config_in_run(read_given(None, flags, LABELS), command)


def test_only_what_differs_is_given(run: Run) -> None:
    config = configured({"run": "quick", "search.latency": ("1ms",), "profile.batch": 4})
    stored = load_config(run.config, {})
    assert (config.space, config.data, config.holdout_per_class) == (stored.space, "digits", 20)
    assert (config.profile.batch, config.profile.min_ms, config.profile.db) == (4, 1.0, stored.profile.db)
    assert (config.search.latency, config.search.population) == (("1ms",), 6)
    assert config.retrain.changes == {"epochs": 1, "batch": 32}


def test_limits_are_those_of_one_search(run: Run) -> None:
    config = configured({"run": "quick", "search.latency": ("1ms",)})
    with open_run(config, stage="search"):
        pass
    assert load_config(run.config, {}).search.latency == ("1ms",)
    assert configured({"run": "quick", "search.macs": ("30k",)}).search.latency == ()


def test_the_file_of_another_run_does_not_come_before_the_run(run: Run) -> None:
    Path("nastool.toml").write_text(
        'run = "other"\nspace = "proxyless"\ndata = "fashion-mnist"\n[profile]\nbatch = 64\n[search]\npopulation = 9\n'
    )
    config = configured({"run": "quick"})
    assert (config.space, config.data, config.profile.batch) == (load_config(run.config, {}).space, "digits", 8)
    assert config.search.population == 9  # a setting of the stage, not of the run
    assert configured({}).space == "proxyless"


def test_the_file_of_the_run_comes_before_it(run: Run) -> None:
    Path("nastool.toml").write_text('run = "quick"\n[profile]\nbatch = 64\n')
    config = configured({})
    assert (config.data, config.profile.batch) == ("digits", 64)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (
            {"space": "proxyless"},
            "--space: proxyless contradicts the run quick, which was made with space shufflenet_v2_quick:size_px=16",
        ),
        ({"data": "fashion-mnist"}, "--data: fashion-mnist contradicts the run quick, which was made with data digits"),
        ({"seed": 7}, "--seed: 7 contradicts the run quick, which was made with seed 0"),
        ({"widths": "1.0-2.0"}, "--widths: 1.0-2.0 contradicts the run quick, which was made without widths"),
    ],
)
def test_a_contradiction_names_both_values(flags: dict[str, Any], words: str, run: Run) -> None:
    with pytest.raises(BadConfig) as caught:
        configured({"run": "quick", **flags})
    assert str(caught.value).startswith(words)
    assert str(caught.value).endswith("(runs/quick/config.toml). Leave it out, or start another run with --run NAME")


def test_the_file_can_not_change_what_a_run_was_made_with(run: Run) -> None:
    Path("nastool.toml").write_text('run = "quick"\nseed = 4\n')
    config = configured({})
    assert config.seed == 0
    assert list(unused_lines(read_given(None, {}), config)) == [
        "run quick: seed is 0, as the run was made; nastool.toml has 4"
    ]
    with pytest.raises(BadConfig, match=r"^nastool\.toml, seed: 4 contradicts the run quick"):
        configured({}, "train")


def test_the_target_of_the_search_is_kept_after_it(run: Run) -> None:
    Path("nastool.toml").write_text('run = "quick"\n[profile]\nbatch = 64\n')
    assert configured({}, "export").profile.batch == 64
    write_bytes(run.best, b"{}")
    assert configured({}, "export").profile.batch == 8
    assert configured({}, "search").profile.batch == 64


def test_a_space_without_the_options_that_the_data_set_is_that_of_the_run(run: Run, tiny_config: Config) -> None:
    space = "shufflenet_v2_quick:classes=8,in_channels=3,size_px=64"
    config = tiny_config.model_copy(update={"runs": Path("runs"), "data": "folder:pics", "space": space})
    write_bytes(run.config, config.as_toml().encode())
    assert configured({"run": "quick", "space": "shufflenet_v2_quick"}).space == space
    with pytest.raises(BadConfig, match="shufflenet_v2_quick:classes=9,in_channels=3,size_px=64 contradicts"):
        configured({"run": "quick", "space": "shufflenet_v2_quick:classes=9"})


def test_another_text_for_the_same_space_is_no_contradiction(run: Run, tiny_space: Any) -> None:
    name, _, options = tiny_space.name.partition(":")
    text = f"{name}:{','.join(reversed(options.split(',')))}"
    assert text != tiny_space.name
    assert configured({"run": "quick", "space": text}).space == text


def test_before_anything_is_trained_flags_replace_settings(run: Run) -> None:
    run.supernet.unlink()
    assert configured({"run": "quick", "space": "proxyless", "seed": 4}).space == "proxyless"


def test_data_in_a_folder_may_have_moved(run: Run, tiny_config: Config) -> None:
    config = tiny_config.model_copy(update={"runs": Path("runs"), "data": "folder:here"})
    write_bytes(run.config, config.as_toml().encode())
    assert configured({"run": "quick", "data": "folder:there"}).data == "folder:there"


def test_each_stage_keeps_its_settings(run: Run) -> None:
    searched = configured({"run": "quick", "search.population": 12, "profile.batch": 4, "search.macs": ("30k",)})
    with open_run(searched, stage="search"):
        pass
    retrained = load_config(None, {"run": "quick", "retrain.recipe": "quick", "profile.batch": 99})
    with open_run(retrained, stage="retrain"):
        pass
    stored = load_config(run.config, {})
    assert (stored.search.population, stored.search.macs, stored.profile.batch) == (12, ("30k",), 4)
    assert stored.retrain.changes == {}
    assert stored.space == searched.space


def test_a_given_backend_replaces_the_estimate_of_the_run(run: Run) -> None:
    estimated = configured({"run": "quick", "profile.estimate": True, "profile.device": "titanxp"})
    with open_run(estimated, stage="search"):
        pass
    assert configured({"run": "quick"}).profile.estimate
    measured = configured({"run": "quick", "profile.backend": "onnxruntime", "profile.device": "cpu"})
    assert not measured.profile.estimate


def test_a_damaged_file_of_the_run_is_named(run: Run) -> None:
    run.config.write_text("seed = 'one'\n")
    with pytest.raises(BadConfig, match=r"^runs/quick/config\.toml, seed: .*Correct the file, or remove it"):
        configured({"run": "quick"})


def test_a_run_that_does_not_exist_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert configured({"run": "new"}) == load_config(None, {"run": "new"})
    assert not run_of(configured({"run": "new"})).folder.exists()
