"""ONNX Runtime's TensorRT provider names the library that it was linked with."""

from pathlib import Path

import onnxruntime as ort
import pytest

from exporters.backends import onnxruntime
from exporters.cuda import onnxruntime_gpu, provider_library
from exporters.cuda.provider_library import linked_version, mismatch


def test_the_installed_wheel_names_its_library() -> None:
    capi = Path(ort.__file__).parent / "capi"
    if not list(capi.glob("*providers_tensorrt*")):
        pytest.skip("this wheel has no TensorRT provider")
    assert linked_version(capi) == 10, "onnxruntime-gpu 1.31"


def test_a_wheel_without_the_provider(tmp_path: Path) -> None:
    assert linked_version(tmp_path) is None
    (tmp_path / "libonnxruntime_providers_tensorrt.so").write_bytes(b"\0libnvonnxparser.so.12\0")
    assert linked_version(tmp_path) is None


@pytest.mark.parametrize(
    ("linked", "installed", "reason"),
    [
        (
            10,
            "11.4.0.106",
            "it needs libnvinfer.so.10, and TensorRT 11.4.0.106 is installed. Run pip install 'tensorrt>=10,<11'",
        ),
        (10, None, "it needs libnvinfer.so.10, and no TensorRT is installed. Run pip install 'tensorrt>=10,<11'"),
        (10, "10.13.3.9", None),
        (None, "11.4.0.106", None),
    ],
)
def test_what_is_missing(linked: int | None, installed: str | None, reason: str | None) -> None:
    assert mismatch(linked, installed) == reason


def test_the_backend_says_which_tensorrt_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: [onnxruntime.TENSORRT])
    monkeypatch.setattr(onnxruntime_gpu, "_has_nvidia_driver", lambda: True)
    monkeypatch.setattr(onnxruntime_gpu, "_loads", lambda provider, ordinal: False)
    monkeypatch.setattr(provider_library, "linked_version", lambda folder: 10)
    monkeypatch.setattr(provider_library, "installed_version", lambda: "11.4.0.106")
    reason = onnxruntime.Backend(onnxruntime.TENSORRT).unavailable_reason()
    assert reason == (
        f"onnxruntime {ort.__version__} cannot load TensorrtExecutionProvider: it needs libnvinfer.so.10, and TensorRT "
        f"11.4.0.106 is installed. Run pip install 'tensorrt>=10,<11'"
    )
