"""Empty values, NUL bytes, `~` and old names in the arguments of every command."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Nastool = Callable[..., Any]
ARCH = "0 0 3 1 1 1 0 0 2 0 2 1 1 0 2 0 2 1 3 2"


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("check", "--latency", ""), "--latency"),
        (("check", "--latency="), "--latency"),
        (("check", "--baseline", " "), "--baseline"),
        (("retrain", "--budget", ""), "--budget"),
        (("search", "--target", ""), "--target"),
        (("search", "--stack", ""), "--target"),
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
        ("retrain --arch 0 --budget b", "--arch and --budget name an architecture each"),
        ("cost --published fbnet_a --device titanxp --estimate --backend fake", "computed from peak rates"),
        ("search", "a search needs a limit. Give --latency"),
        ("search --macs 1M --target 0 --fix-ops none.json", "--fixed-ops"),
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
