"""Every block variant of a user's space is built once before work starts; a failure names block and choice."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from toolchain.errors import UnknownSpace
from toolchain.nets.checked_space import load_checked_space
from toolchain.spaces.core import SearchSpace

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "my_space.py"


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str, str], SearchSpace]:
    """The example of docs/spaces.md with one text replaced."""

    def write_and_load(old: str, new: str) -> SearchSpace:
        text = EXAMPLE.read_text()
        assert old in text
        (tmp_path / "my.py").write_text(text.replace(old, new))
        return load_checked_space(f"{tmp_path / 'my.py'}:my_space")

    return write_and_load


def test_the_example_of_the_documentation_passes(load: Callable[[str, str], SearchSpace]) -> None:
    assert load("KERNELS", "KERNELS").size == 6**4


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "self.act(self.shortcut(x) + self.main(x))",
            "self.main(x)[:, :8]",
            "choice 'conv3@0.5' of block 0 (16x28px->32s2) gives 8x14x14 for an input of 16x28x28, but the space says "
            "32x14x14. Correct the file",
        ),
        (
            "return ResidualBlock(spec, choice, norm)",
            "return ResidualBlock(spec, choice, norm) if choice.key != 'conv5' or spec.c_in < 64 else 1 / 0",
            "choice 'conv5' of block 3 (64x7px->64s1) cannot be built: ",
        ),
        ("return ResidualBlock(spec, choice, norm)", "exit()", "the file ends the program (SystemExit)"),
        ("return ResidualBlock(spec, choice, norm)", "return None", "the builder returns a NoneType instead of an nn."),
        ("out: Tensor = ", "out = [x] or ", "choice 'conv3@0.5' of block 0 (16x28px->32s2) returns a list instead"),
        ("conv_bn(spec.c_in, mid, norm, kernel", "conv_bn(spec.c_in + 1, mid, norm, kernel", "cannot be built: "),
        ("space.stem.stride)", "2)", "the stem gives 16x14x14 for an input of 1x28x28, but the space says 16x28x28"),
        ("space.classes)", "7)", "the head gives 7 for an input of 64x7x7, but the space says 10"),
        ("conv5", "conv.5", "the op 'conv.5' of block 0 cannot be used in an architecture's text"),
    ],
)
def test_a_module_that_does_not_fit_is_named(
    old: str, new: str, problem: str, load: Callable[[str, str], SearchSpace]
) -> None:
    with pytest.raises(UnknownSpace) as caught:
        load(old, new)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_failing_builder_is_named_with_its_line(load: Callable[[str, str], SearchSpace]) -> None:
    with pytest.raises(UnknownSpace, match=r"my\.py, line \d+: ZeroDivisionError: division by zero"):
        load("return ResidualBlock(spec, choice, norm)", "return 1 / 0")


def test_a_proxyless_stem_needs_only_channels_and_stride(tmp_path: Path) -> None:
    """docs/spaces.md: `Stem(c_out=16, stride=2)` is a complete stem of every family."""
    file = tmp_path / "small.py"
    file.write_text(
        "from toolchain.spaces.core import Choice, ChoiceBlock, Head, SearchSpace, Stem\n"
        "block = ChoiceBlock(16, 24, 16, 2, (Choice('k3e3'), Choice('k5e3')))\n"
        "small = SearchSpace('small', 'proxyless', 3, 32, 10, Stem(c_out=16, stride=2), (block,), Head(32))\n"
    )
    assert load_checked_space(f"{file}:small").size == 2


def test_a_choice_that_the_family_does_not_have_is_named_before_any_work(tmp_path: Path) -> None:
    file = tmp_path / "small.py"
    file.write_text(
        "from toolchain.spaces.core import Choice, ChoiceBlock, Head, SearchSpace, Stem\n"
        "block = ChoiceBlock(16, 24, 16, 2, (Choice('k4'),))\n"
        "small = SearchSpace('small', 'fbnet', 3, 32, 10, Stem(16, 2), (block,), Head(32))\n"
    )
    with pytest.raises(UnknownSpace, match=re.escape("no choice 'k4'")):
        load_checked_space(f"{file}:small")


@pytest.mark.parametrize("command", ["train", "profile", "search", "space", "cost"])
def test_commands_refuse_an_impossible_space_and_write_nothing(
    command: str, tmp_path: Path, nastool: Callable[..., object]
) -> None:
    file = tmp_path / "my.py"
    file.write_text(EXAMPLE.read_text().replace("c_in=32, c_out=64", "c_in=33, c_out=64"))
    data = ["--data", "digits"]  # without data, train and search refuse before they read the space
    words = {
        "cost": ["--arch", "conv3 conv3 conv3 conv3"],
        "train": data,
        "search": ["--macs", "1M", *data],
    }.get(command, [])
    answer = nastool(command, "--space", f"{file}:my_space", *words, cwd=tmp_path)
    assert getattr(answer, "code") == 2  # noqa: B009
    assert "block 2 has c_in=33, but block 1 gives 32 channels" in " ".join(str(getattr(answer, "stderr")).split())  # noqa: B009
    assert [path.name for path in tmp_path.iterdir()] == ["my.py"]
