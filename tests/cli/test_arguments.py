"""Empty values, NUL bytes, `~` and old names in the arguments of every command."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from toolchain.spaces import load_space

Nastool = Callable[..., Any]
SMALL = "shufflenet_v2_quick:size_px=16,stem_channels=8,stage_widths=16,stage_repeats=1,head_channels=32,classes=10"
ARCH = "0 0 3 1 1 1 0 0 2 0 2 1 1 0 2 0 2 1 3 2"


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("check", "--latency", ""), "--latency"),
        (("check", "--latency="), "--latency"),
        (("check", "--baseline", " "), "--baseline"),
        (("retrain", "--budget", ""), "--budget"),
        (("search", "--target", ""), "--target"),
        (("search", "--stack", ""), "--stack"),
        (("cost", "--stack= "), "--stack"),
        (("profile", "--db", ""), "--db"),
        (("train", "--config", ""), "--config"),
        (("db", "export", ""), "FILE"),
        (("db", "show", ""), "TARGET"),
        (("bench", ""), "FILES"),
    ],
)
def test_empty_value_is_refused_by_name(words: tuple[str, ...], name: str, nastool: Nastool, tmp_path: Path) -> None:
    answer = nastool(*words, cwd=tmp_path)
    assert (answer.code, answer.stdout) == (2, "")
    assert f"error: {name} is empty" in answer.stderr
    assert list(tmp_path.iterdir()) == []


def test_nul_byte_is_refused(nastool: Nastool, tmp_path: Path) -> None:
    answer = nastool("profile", "--db", "a\0b", cwd=tmp_path)
    assert answer.code == 2
    assert "--db contains a NUL byte: 'a\\x00b'" in answer.stderr


@pytest.mark.parametrize(
    "words", ["cost --config /dev/zero", "check --baseline /dev/urandom", "train --from /dev/full"]
)
def test_a_device_without_end_is_refused(words: str, nastool: Nastool, tmp_path: Path) -> None:
    answer = nastool(*words.split(), cwd=tmp_path)
    assert answer.code == 2
    flag, device = words.split()[1:]
    assert answer.stderr == f"error: {flag}: {device} is a device that can be read without end. Name a file\n"


def test_home_folder_is_expanded(nastool: Nastool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    answer = nastool("db", "list", "--db", "~/latency.sqlite", cwd=tmp_path)
    assert f"{tmp_path}/home/latency.sqlite does not exist" in answer.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("train --seed 18446744073709551616", "--seed: Input should be less than or equal to"),
        ("search --latency 13ms..22ms/1000000", "has '1000000' steps. Write 2 to 100"),
        ("profile --batch 1000000000000", "--batch: Input should be less than or equal to 1048576"),
        ("profile --threads 1000000000", "--threads: Input should be less than or equal to 4096"),
        ("retrain --arch 0 --budget b", "--arch and --budget both select an architecture"),
        ("cost --published fbnet_a --device titanxp --estimate --backend fake", "computed from peak rates"),
        ("train --data digits --nproc 1000", "--nproc 1000 is too much for one machine: give"),
        ("search", "a search needs a limit. Give --latency"),
        ("search --macs 1M --target 0 --fix-ops none.json", "--fixed-ops"),
        ("db export /tmp", "/tmp is a folder. Name a file in it, as /tmp/latencies.json"),
        ("cost --arch /tmp", "/tmp is a folder, and --arch takes a search's best.json, such as /tmp/search/best.json"),
        ("cost --config /tmp", "/tmp is a folder. Name the file in it, as --config /tmp/nastool.toml"),
        ("cost --run ../up", "--run: a name has letters, digits, '.', '_' and '-', and begins with a letter or digit"),
        ("train --data folder:", "'folder:' names no folder. Write folder:PATH"),
    ],
)
def test_impossible_value_is_refused(words: str, expected: str, nastool: Nastool, tmp_path: Path) -> None:
    answer = nastool(*words.split(), cwd=tmp_path)
    assert (answer.code, answer.stdout) == (2, "")
    assert expected in " ".join(answer.stderr.split())
    assert list(tmp_path.iterdir()) == []


def test_deeply_nested_configuration_is_refused(nastool: Nastool, tmp_path: Path) -> None:
    (tmp_path / "nastool.toml").write_text("a = " + "[" * 100_000)
    answer = nastool("doctor", cwd=tmp_path)
    assert answer.code == 2
    assert "nastool.toml is nested too deeply" in answer.stderr


def test_architecture_of_a_best_json(nastool: Nastool, tmp_path: Path) -> None:
    (tmp_path / "best.json").write_text('{"architecture": ["' + '", "'.join(ARCH.split()) + '"]}')
    answer = nastool("cost", "--space", "shufflenet_v2", "--arch", "best.json", "--json", cwd=tmp_path)
    assert (answer.code, answer.json["macs"], answer.json["schema_version"]) == (0, 318_729_024, 1)


@pytest.mark.long
def test_the_table_is_not_overwritten_by_its_own_export(nastool: Nastool, tmp_path: Path) -> None:
    assert nastool("profile", "--estimate", "--device", "titanxp", "--space", SMALL, cwd=tmp_path).code == 0
    before = (tmp_path / "latency.sqlite").read_bytes()
    answer = nastool("db", "export", "latency.sqlite", "--force", cwd=tmp_path)
    assert answer.code == 2
    assert "latency.sqlite is the latency table itself. Give another file name" in answer.stderr
    assert (tmp_path / "latency.sqlite").read_bytes() == before


@pytest.mark.parametrize("words", ["profile", "train --data digits", "doctor"])
def test_too_few_open_files_are_refused_before_any_work(words: str, tmp_path: Path) -> None:
    limited = f"ulimit -n 12; exec {sys.executable} -m cli.main {words}"
    done = subprocess.run(["bash", "-c", limited], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        "error: cannot start: this shell allows 12 open files, and 64 are needed. Run ulimit -n 64 first\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_profile_says_that_the_data_has_other_classes(nastool: Nastool, tmp_path: Path) -> None:
    (tmp_path / "nastool.toml").write_text('data = "digits"\n')
    space = SMALL.replace("classes=10", "classes=7")
    words = ("profile", "--estimate", "--device", "titanxp", "--space", space)
    answer = nastool(*words, cwd=tmp_path)
    assert answer.code == 0
    assert f"warning: digits has 10 classes and the space {load_space(space).name} has 7" in answer.stderr
    assert f"Write --space {SMALL} before you train" in answer.stderr
