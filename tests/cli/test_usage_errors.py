"""A command line that cannot be read: one line after `error:`, exit code 2, and where the flags are listed."""

from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("serch",), "no such command 'serch'. Did you mean 'search', 'bench'? See nastool --help"),
        (("search", "--latncy", "3"), "no such option: --latncy (Possible options: "),
        (("search", "--finalists", "x"), "invalid value for '--finalists': "),
        (("retrain", "--nproc", "0"), "invalid value for '--nproc': "),
        (("export", "a", "b"), "got unexpected extra argument(s) (a b). See nastool export --help"),
        (("runs", "rm"), "no such command 'rm'. See nastool runs --help"),
        (("check", "--device"), "option '--device' requires an argument"),
        (("shrink",), "missing argument 'source'. See nastool shrink --help"),
    ],
)
def test_one_line(words: tuple[str, ...], text: str, nastool: Callable[..., Any], tmp_path: Path) -> None:
    answer = nastool(*words, cwd=tmp_path)
    assert answer.code == 2
    assert answer.stderr.startswith(f"error: {text}")
    assert answer.stderr.count("\n") == 1
    assert answer.stdout == ""


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            ("runs", "--json", "compare", "a", "b"),
            "--json before compare is ignored. Write it after: nastool runs compare",
        ),
        (
            ("runs", "--runs", "other", "list"),
            "--runs before list is ignored. Write it after: nastool runs list --runs",
        ),
        (("report", "mine", "--json", "--out", "page.html"), "--json and --verify write no file. Leave out --out"),
        (("report", "mine", "--verify", "--format", "md"), "--json and --verify write no file"),
        (("report", "mine", "--budget", "macs_1M"), "Leave out --budget, or give --format md"),
    ],
)
def test_flags_without_effect_are_refused(
    words: tuple[str, ...], text: str, nastool: Callable[..., Any], tmp_path: Path
) -> None:
    run = tmp_path / "runs/mine"
    run.mkdir(parents=True)
    (run / "config.toml").write_text('data = "digits"\n')
    answer = nastool(*words, cwd=tmp_path)
    assert answer.code == 2
    assert text in answer.stderr


def test_a_group_without_a_command_prints_its_help(nastool: Callable[..., Any], tmp_path: Path) -> None:
    answer = nastool("db", cwd=tmp_path)
    assert (answer.code, answer.stderr) == (2, "")
    assert "prune" in answer.stdout


def test_a_question_without_an_answer_changes_nothing(
    nastool: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", StringIO())
    run = tmp_path / "runs/mine"
    run.mkdir(parents=True)
    (run / "config.toml").write_text('data = "digits"\n')
    answer = nastool("runs", "remove", "mine", cwd=tmp_path)
    assert answer.code == 1
    assert "error: not confirmed, so nothing has changed. --yes confirms without a question" in answer.stderr
    assert run.exists()
