"""The run's folder."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from toolchain.config import Config, load_config
from toolchain.errors import BadArchitecture, BadCheckpoint, BadDocument, MissingStage, RunFolderError
from toolchain.files import write_json
from toolchain.runs import open_run, run_of
from toolchain.search.winner import read_winner, select_architecture
from toolchain.spaces.core import SearchSpace


def test_a_run_keeps_its_settings_and_what_it_was_made_with(tiny_config: Config) -> None:
    with open_run(tiny_config, make=True) as run:
        assert load_config(run.folder / "config.toml", {}) == tiny_config
        packages = json.loads((run.folder / "env.json").read_text())["packages"]
        assert {"torch", "onnx", "nastool"} <= set(packages)
    with open_run(tiny_config) as run:
        assert run == run_of(tiny_config)


def test_only_the_first_command_makes_a_run(tiny_config: Config) -> None:
    with pytest.raises(MissingStage, match="Run nastool train --run quick first"), open_run(tiny_config):
        pass
    assert not tiny_config.runs.exists()


OTHER = """
import sys
from pathlib import Path
from toolchain.config import load_config
from toolchain.runs import open_run
with open_run(load_config(Path(sys.argv[1]), {})):
    print("in", flush=True)
    sys.stdin.read()
"""


def test_two_commands_do_not_work_in_one_run(tiny_config: Config, tmp_path: Path) -> None:
    with open_run(tiny_config, make=True) as run:
        settings = run.folder / "config.toml"
    other = subprocess.Popen(
        [sys.executable, "-c", OTHER, str(settings)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "in\n"
    changed = tiny_config.model_copy(update={"seed": 9})
    with pytest.raises(RunFolderError, match=f"another nastool command is using {run.folder}"), open_run(changed):
        pass
    assert load_config(settings, {}) == tiny_config  # the one who was refused wrote nothing
    other.kill()  # a lock dies with its process
    other.communicate()
    with open_run(changed):
        pass
    assert load_config(settings, {}).seed == 9


WITH_WORKER = """
import os
import sys
import time
from pathlib import Path
from toolchain.config import load_config
from toolchain.runs import open_run
with open_run(load_config(Path(sys.argv[1]), {})):
    if os.fork() == 0:
        print(os.getpid(), flush=True)  # from the worker, so that it has closed its lock by now
        time.sleep(60)  # as a data worker that has not noticed yet
    sys.stdin.read()
"""


def test_workers_of_a_killed_command_do_not_hold_its_run(tiny_config: Config) -> None:
    with open_run(tiny_config, make=True) as run:
        settings = run.folder / "config.toml"
    words = [sys.executable, "-c", WITH_WORKER, str(settings)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as command:
        assert command.stdout is not None
        worker = int(command.stdout.readline())
        try:
            with pytest.raises(RunFolderError), open_run(tiny_config):
                pass
            command.kill()
            command.wait()
            os.kill(worker, 0)  # it is still there
            with open_run(tiny_config):
                pass
        finally:
            os.kill(worker, signal.SIGKILL)


def test_a_run_that_can_not_be_made_is_named(tiny_config: Config) -> None:
    tiny_config.runs.touch()
    with (
        pytest.raises(RunFolderError, match=f"cannot write {tiny_config.runs}/quick"),
        open_run(tiny_config, make=True),
    ):
        pass


def test_a_missing_or_damaged_file_names_the_command_that_writes_it(
    tiny_config: Config, tiny_space: SearchSpace
) -> None:
    run = run_of(tiny_config)
    with pytest.raises(MissingStage, match=r"best\.json does not exist yet\. Run nastool search --run quick first"):
        run.require(run.best, "search")
    run.best.parent.mkdir(parents=True)
    run.best.write_text('{"architecture": [')
    with pytest.raises(BadDocument, match=r"best\.json is damaged: Invalid JSON.* Remove it and run nastool search"):
        read_winner(run.best, tiny_space)


def test_an_architecture_that_is_named_comes_before_the_searchs_winner(
    tiny_config: Config, tiny_space: SearchSpace
) -> None:
    run = run_of(tiny_config)
    assert select_architecture("0 1 2 3", None, tiny_space, run).architecture == tiny_space.architecture([0, 1, 2, 3])
    with pytest.raises(MissingStage, match="nastool search"):
        select_architecture(None, None, tiny_space, run)
    best = {"space": tiny_space.name, "space_digest": tiny_space.digest, "limits": {"macs": 1}, "holdout_accuracy": 0.5}
    write_json(run.best, best | {"architecture": ["choice_x"] * 4})
    assert select_architecture(None, None, tiny_space, run).architecture == tiny_space.all_same("choice_x")
    assert select_architecture("0 1 2 3", None, tiny_space, run).architecture == tiny_space.architecture([0, 1, 2, 3])
    write_json(run.budget("macs_1M") / "best.json", best | {"architecture": ["choice_7"] * 4, "limits": {"macs": 2}})
    assert select_architecture(None, "macs_1M", tiny_space, run).limits == {"macs": 2}
    assert select_architecture("0 1 2 3", None, tiny_space, run).limits == {}
    assert select_architecture(None, "macs_1M", tiny_space, run).architecture == tiny_space.all_same("choice_7")
    with pytest.raises(MissingStage, match=r"no search had the budget 'macs_2M'\. Write --budget macs_1M"):
        select_architecture(None, "macs_2M", tiny_space, run)
    write_json(run.best, best | {"architecture": ["choice_x"] * 4, "space": "other", "space_digest": "0"})
    with pytest.raises(BadCheckpoint, match="is a winner of the space other, not of"):
        select_architecture(None, None, tiny_space, run)
    with pytest.raises(BadArchitecture, match="no choice '7'"):
        select_architecture("7 1 2 3", None, tiny_space, run)


def test_each_architecture_is_retrained_in_a_folder_of_its_own(tiny_config: Config, tiny_space: SearchSpace) -> None:
    run = run_of(tiny_config)
    keys = ("choice_3", "choice_5", "choice_7", "choice_x")
    assert len({run.retrain(tiny_space.all_same(key)) for key in keys}) == 4
    assert run.retrain(tiny_space.all_same("choice_3")) == run.retrain(tiny_space.all_same("choice_3"))
