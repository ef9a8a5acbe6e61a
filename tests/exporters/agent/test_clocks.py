"""The state of a CPU's clocks, as a target stores it."""

from pathlib import Path

import pytest

from exporters.agent.clocks import cpu_clocks


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ({}, "unknown"),
        ({"cpu0/cpufreq/scaling_governor": "performance"}, "governor performance"),
        (
            {"cpu0/cpufreq/scaling_governor": "performance", "cpu1/cpufreq/scaling_governor": "powersave"},
            "governor performance and powersave",
        ),
        (
            {"cpu0/cpufreq/scaling_governor": "powersave", "intel_pstate/no_turbo": "0"},
            "governor powersave, turbo on",
        ),
        ({"intel_pstate/no_turbo": "1"}, "turbo off"),
        ({"cpufreq/boost": "1"}, "turbo on"),
        ({"cpufreq/boost": "0"}, "turbo off"),
    ],
)
def test_a_cpus_clocks(files: dict[str, str], text: str, tmp_path: Path) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content + "\n")
    assert cpu_clocks(tmp_path) == text
