"""Defaults < nastool.toml < flags, and a wrong key is named."""

import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from toolchain.config import PRESETS, Config, load_config, parse_config, preset_text
from toolchain.errors import BadConfig


def test_flags_override_the_file_and_the_file_overrides_defaults() -> None:
    text = 'seed = 3\nspace = "shufflenet_v2_quick"\n[search]\npopulation = 30\ngenerations = 7\n'
    config = parse_config(text, {"search.population": 12, "profile.batch": 4, "data": "digits"}, "test")
    assert (config.search.population, config.search.generations, config.search.top_k) == (12, 7, 10)
    assert (config.profile.batch, config.data, config.seed) == (4, "digits", 3)
    assert config.space == "shufflenet_v2_quick"


def test_a_flag_changes_one_key_of_a_nested_section() -> None:
    text = '[train]\nrecipe = "quick"\n[train.changes]\nepochs = 4\nlr = 0.2\n'
    config = parse_config(text, {"train.changes.epochs": 1}, "test")
    assert (config.train.recipe, config.train.changes) == ("quick", {"epochs": 1, "lr": 0.2})


def test_limits_are_one_or_several() -> None:
    one = parse_config('[search]\nlatency = "17ms"', {}, "test")
    several = parse_config('[search]\nlatency = ["13ms", "17ms"]', {"search.macs": ("1M..2M",)}, "test")
    assert (one.search.latency, one.search.macs) == (("17ms",), ())
    assert (several.search.latency, several.search.macs) == (("13ms", "17ms"), ("1M..2M",))
    assert parse_config(several.as_toml(), {}, "test") == several


@pytest.mark.parametrize("preset", PRESETS)
def test_the_resolved_file_reads_back_equal(preset: str) -> None:
    flags = {"search.latency": "1.7ms", "train.changes": {"epochs": 1, "augmentation": {"flip": True}}, "seed": 5}
    config = parse_config(preset_text(preset), flags, "test")
    assert parse_config(config.as_toml(), {}, "test") == config
    assert parse_config(parse_config(config.as_toml(), {}, "test").as_toml(), {}, "test").as_toml() == config.as_toml()


def test_no_default_is_left_out_of_the_resolved_file() -> None:
    config = Config()
    resolved = tomllib.loads(config.as_toml())
    assert set(resolved) == set(Config.model_fields) - {"data", "fixed_ops", "widths"}  # None until they are given
    assert set(resolved["profile"]) == set(type(config.profile).model_fields) - {"target"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sedd = 1", "nastool.toml, sedd: unknown key"),
        (
            "[profile]\ndevcie = 'cpu'",
            "nastool.toml, profile.devcie: unknown key; the nearest is profile.device (given: 'cpu')",
        ),
        ("batch = 3", "nastool.toml, batch: unknown key; the nearest is profile.batch (given: 3)"),
        ("[search]\npopulation = 1", "nastool.toml, search.population: "),
        ("[search]\nmutation = 1.5", "nastool.toml, search.mutation: "),
        ("[profile]\nmin_ms = inf", "nastool.toml, profile.min_ms: "),
        ("seed = 'one'", "nastool.toml, seed: "),
        ("run = '../elsewhere'", "nastool.toml, run: "),
        ("run = ''", "nastool.toml, run: "),
        ("seed = ", "nastool.toml is not TOML: "),
        ("profile = 3", "nastool.toml, profile: "),
    ],
)
def test_a_wrong_key_or_value_is_named(text: str, words: str) -> None:
    with pytest.raises(BadConfig) as caught:
        parse_config(text, {}, "nastool.toml")
    assert words in str(caught.value)


def test_a_value_in_a_sections_place_is_named() -> None:
    with pytest.raises(BadConfig, match=r"nastool\.toml, train: it must be a section"):
        parse_config("train = 'quick'", {"train.recipe": "quick"}, "nastool.toml")


def test_a_flag_that_is_not_taken_is_named() -> None:
    with pytest.raises(BadConfig, match=r"search\.popluation: unknown key"):
        parse_config("", {"search.popluation": 3}, "nastool.toml")


def test_the_file_in_the_folder_is_read_unless_another_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_config(None, {}) == Config()
    Path("nastool.toml").write_text("seed = 4")
    Path("other.toml").write_text("seed = 5")
    assert load_config(None, {}).seed == 4
    assert load_config(Path("other.toml"), {}).seed == 5
    with pytest.raises(BadConfig, match=r"missing\.toml does not exist\. Run nastool init"):
        load_config(Path("missing.toml"), {})


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes("run = 'ä'".encode("latin-1"))
    with pytest.raises(BadConfig, match=r"latin\.toml is not UTF-8 text: invalid continuation byte at byte 7"):
        load_config(tmp_path / "latin.toml", {})
    with pytest.raises(BadConfig, match=f"{tmp_path} is a folder. Name the file in it"):
        load_config(tmp_path, {})


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        Config().seed = 1  # type: ignore[misc]


def test_a_missing_data_set_and_an_unknown_preset_say_what_there_is() -> None:
    with pytest.raises(BadConfig, match="--data fashion-mnist, digits, folder:PATH or wds:SHARDS"):
        Config().data_name()
    with pytest.raises(BadConfig, match=r"unknown preset 'slow'\. Known presets: quick, photos, imagenet"):
        preset_text("slow")


OLD_FILE = """
fix_ops = "fixed.json"
[profile]
stack = "0123abcd"
[search]
random_baseline = false
[train]
sampler = "levels"
"""


def test_keys_of_a_config_file_of_version_0_1_0_are_read() -> None:
    config = parse_config(OLD_FILE, {}, "nastool.toml")
    assert config.fixed_ops == "fixed.json"
    assert config.profile.target == "0123abcd"
    assert config.search.random_search is False
    assert config.train.sampler == "constraint"
    assert parse_config(config.as_toml(), {}, "config.toml") == config


def test_an_empty_stack_of_version_0_1_0_is_no_target() -> None:
    assert parse_config('[profile]\nstack = ""', {}, "config.toml").profile.target is None


def test_a_flag_overrides_an_old_key() -> None:
    config = parse_config(OLD_FILE, {"profile.target": "beef", "search.random_search": True}, "nastool.toml")
    assert (config.profile.target, config.search.random_search) == ("beef", True)


def test_an_old_key_beside_its_new_name_is_refused() -> None:
    with pytest.raises(BadConfig, match=r"nastool\.toml, profile\.stack: it is now called profile\.target"):
        parse_config('[profile]\nstack = "a"\ntarget = "b"', {}, "nastool.toml")


@pytest.mark.parametrize("text", ["search.latency" + ".a" * 3000 + " = 1", "runs" + ".a" * 3000 + " = 1"])
def test_a_deeply_nested_value_is_shown_in_short(text: str) -> None:
    with pytest.raises(BadConfig, match=r"\(given: \{'a': .*\{\.\.\.\}"):
        parse_config(text, {}, "nastool.toml")


def test_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "nastool.toml").write_bytes(b"\xef\xbb\xbfseed = 7\r\n")
    assert load_config(tmp_path / "nastool.toml", {}).seed == 7


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('runs = ""', "test, runs: it is empty. Give it a value, or leave it out"),
        ('data = " "', "test, data: it is empty"),
        ("[train]\nstart_from = ''", "test, train.start_from: it is empty"),
        ("[search]\nlatency = ['17ms', '']", "test, search.latency.1: it is empty"),
        ('[profile]\ndb = "a\\u0000b"', "test, profile.db: it contains a NUL byte (given: 'a\\x00b')"),
        ("a" * 5000 + " = 1", "test, " + "a" * 120 + "...: unknown key (given: 1)"),
    ],
)
def test_an_empty_or_unprintable_text_is_refused(text: str, expected: str) -> None:
    with pytest.raises(BadConfig) as caught:
        parse_config(text, {}, "test")
    assert str(caught.value).startswith(expected)


def test_a_flag_that_is_not_utf_8_is_refused_by_name() -> None:
    with pytest.raises(BadConfig, match=r"--data: it is not UTF-8 text\. If it is a path, rename the file or folder"):
        parse_config("", {"data": "folder:caf\udce9"}, "test", {"data": "--data"})


@pytest.mark.parametrize("batches", ["", 'batches = "1..32"'])
def test_the_default_largest_batch_of_engines_of_0_1_0_is_ignored(batches: str) -> None:
    config = parse_config(f"[export]\nlargest_batch = 32\n{batches}", {}, "test")
    assert config.export.batches == ("1..32" if batches else None)


def test_a_largest_batch_of_engines_of_0_1_0_is_now_a_range() -> None:
    with pytest.raises(BadConfig, match=r'largest_batch is now batches, a range: write batches = "1\.\.64"'):
        parse_config("[export]\nlargest_batch = 64", {}, "test")


def test_static_files_take_one_batch() -> None:
    with pytest.raises(BadConfig, match=r"static is for one batch and batches for several\. Leave out one of them"):
        parse_config('[export]\nstatic = true\nbatches = "1..32"', {}, "test")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[serch]\npopulation = 3", "unknown section; the nearest is [search]"),
        ("[zzz]\na = 3", "unknown section. Known: "),
        ('[train]\nepochs = "ten"', "Keys of the recipe, such as epochs, are written in [train.changes]"),
        ("[search]\nlatency = 17", 'an amount is a text, with its unit, such as "17ms"'),
        ("[search]\nmacs = 1.5", "an amount is a text"),
    ],
)
def test_a_mistake_in_a_file_says_what_to_write(text: str, problem: str) -> None:
    with pytest.raises(BadConfig) as refused:
        parse_config(text, {}, "nastool.toml")
    assert problem in str(refused.value)
