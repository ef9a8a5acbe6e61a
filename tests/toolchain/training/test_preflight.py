"""Settings that cannot work are refused before a run folder is made."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from toolchain.config import parse_config, preset_text
from toolchain.errors import BadConfig
from toolchain.spaces import load_space
from toolchain.training.preflight import check_retrain, check_train

ONE_PIXEL = "shufflenet_v2_quick:size_px=8,stem_channels=8,stage_widths=16-24,stage_repeats=2-2,head_channels=32"
ARCH = "0 1 2 3"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--seed", "18446744073709551616"], "seed: Input should be less than or equal to 4611686018427387904"),
        (["--epochs", "1e300"], "epochs: Input should be less than or equal to 1000000"),
        (["--from", "GARBAGE"], "is not a file of PyTorch weights"),
    ],
)
@pytest.mark.parametrize("command", ["train", "retrain"])
def test_refused_settings_leave_no_run_folder(
    command: str, flags: list[str], words: str, nastool: Callable[..., Any], tmp_path: Path
) -> None:
    if flags[0] == "--from":
        if command == "retrain":
            pytest.skip("retrain starts from scratch")
        (tmp_path / "garbage.pt").write_bytes(b"no weights")
        flags = ["--from", str(tmp_path / "garbage.pt")]
    arch = ["--arch", ARCH] if command == "retrain" else []
    answer = nastool(command, "--space", ONE_PIXEL, "--data", "digits", *arch, *flags, cwd=tmp_path)
    assert answer.code == 2
    assert words in " ".join(answer.stderr.split())
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("table", ["train.changes", "retrain.changes", "search"])
def test_a_batch_of_one_is_refused_where_maps_are_of_one_pixel(table: str) -> None:
    flags: dict[str, Any] = {table: {"batch": 1}}
    config = parse_config(preset_text("quick"), flags, "test")
    check = check_train if table == "train.changes" else check_retrain
    with pytest.raises(BadConfig, match=r"needs two values per channel, .* Write batch = 2 or more in \[" + table):
        check(config, load_space(ONE_PIXEL))
    check(config, load_space(ONE_PIXEL.replace("size_px=8", "size_px=32")))
    check(parse_config(preset_text("quick"), {table: {"batch": 2}}, "test"), load_space(ONE_PIXEL))


def test_a_batch_that_three_processes_cannot_share_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    launched = {"RANK": "0", "WORLD_SIZE": "3", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
    for name, value in launched.items():
        monkeypatch.setenv(name, value)
    config = parse_config(preset_text("quick"), {"train.changes": {"batch": 32}}, "test")
    with pytest.raises(BadConfig, match="a batch of 32 images cannot be shared equally by 3 processes"):
        check_train(config, load_space(ONE_PIXEL))
