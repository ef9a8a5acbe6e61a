"""The last guard: what the input or the machine caused is one line; a bug is a traceback with how to report it."""

import errno

import pytest

from cli import main


def raise_in_command(problem: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    program = main.new_program("nastool", "")

    @program.callback(invoke_without_command=True)
    def command() -> None:
        raise problem

    monkeypatch.setattr(main, "commands", program)
    monkeypatch.setattr("sys.argv", ["nastool", "--"])


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (OSError(errno.EACCES, "Permission denied", "images/cat.png"), "error: cannot open images/cat.png: Permission"),
        (OSError(errno.ENOSPC, "No space left on device", "runs/main/log"), "error: cannot write runs/main/log: No"),
        (MemoryError(), "error: out of memory (the system gave no details). Use a smaller batch"),
    ],
)
def test_error_of_the_machine_is_one_line(
    problem: Exception, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    raise_in_command(problem, monkeypatch)
    with pytest.raises(SystemExit) as ended:
        main.app()
    stderr = capsys.readouterr().err
    assert ended.value.code == 2
    assert stderr.startswith(message)
    assert stderr.count("\n") == 1


def test_bug_keeps_its_traceback_and_says_how_to_report_it(monkeypatch: pytest.MonkeyPatch) -> None:
    raise_in_command(KeyError("lost"), monkeypatch)
    with pytest.raises(KeyError) as raised:
        main.app()
    assert raised.value.__notes__ == [
        "This is a bug in nastool. Report it with the traceback above and the output of nastool doctor."
    ]
