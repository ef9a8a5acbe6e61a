"""The Dockerfiles pass hadolint, and name programs and files that exist. Images are not built here."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HADOLINT = Path(sys.executable).with_name("hadolint")
FILES = sorted((ROOT / "docker").glob("*.Dockerfile"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_lint(file: Path) -> None:
    linted = subprocess.run(
        [HADOLINT, "--no-color", "--failure-threshold", "info", file], capture_output=True, text=True, check=False
    )
    assert (linted.returncode, linted.stdout) == (0, "")


def test_the_linter_finds_mistakes(tmp_path: Path) -> None:
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM python\nRUN cd /tmp\n")
    assert subprocess.run([HADOLINT, bad], capture_output=True, check=False).returncode == 1


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_names_exist(file: Path) -> None:
    text = file.read_text()
    (entry,) = re.findall(r"^ENTRYPOINT (.*)$", text, re.MULTILINE)
    wheel = ROOT / re.findall(r"/src/(\S+)", text)[0]
    scripts = tomllib.loads((wheel / "pyproject.toml").read_text())["project"]["scripts"]
    assert set(json.loads(entry)) == set(scripts)
    assert f"docker build -f docker/{file.name}" in text
    assert f"docker/{file.name}" in (ROOT / "docs" / "ci.md").read_text()


def test_both_targets_have_one() -> None:
    assert [file.name for file in FILES] == ["cpu.Dockerfile", "tensorrt.Dockerfile"]
