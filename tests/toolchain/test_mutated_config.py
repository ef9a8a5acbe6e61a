"""Randomly damaged nastool.toml: it is read, or refused with a sentence that names the file. The seeds are fixed."""

from pathlib import Path
from random import Random

import pytest

from toolchain.config import PRESETS, load_config, preset_text
from toolchain.errors import BadConfig

VALUES = (
    "nan", "-inf", "-1", "0", "1e300", "9" * 30, "''", "' '", '"\\u0000"', '"\\u001b[31m"', "[]", "[[]]", "{}", "true",
    "1979-05-27", "[1, 'a']", "[" * 3000, "{a = " * 50, "'''", "0x", "\udcff", "=", "",
)  # fmt: skip


def damaged(text: str, rng: Random) -> bytes:
    """`text` with one to three values replaced, lines repeated or removed, or bytes changed."""
    lines = text.splitlines()
    for _ in range(rng.choice((1, 1, 3))):
        place = rng.randrange(len(lines))
        name, equals, _ = lines[place].partition("=")
        lines[place : place + 1] = rng.choice(
            ([f"{name}{equals} {rng.choice(VALUES)}"], [lines[place]] * 2, [], [f"{name}x{equals} 1"], [f"[{name}]"])
        )
    content = bytearray("\n".join(lines).encode("utf-8", "surrogateescape"))
    if rng.random() < 0.3:
        content[rng.randrange(len(content))] = rng.randrange(256)
    return bytes(content)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_damaged_configuration_is_read_or_refused_by_name(preset: str, tmp_path: Path) -> None:
    rng, path = Random(0), tmp_path / "nastool.toml"
    refused = 0
    for number in range(60):
        path.write_bytes(damaged(preset_text(preset), rng))
        try:
            load_config(path, {})
        except BadConfig as problem:
            refused += 1
            text = str(problem)
            assert "nastool.toml" in text, (number, text)
            assert "\x1b" not in text
            assert len(text) < 1000, (number, text)
    assert 20 < refused < 60  # most damage is noticed, and some changes are valid
