"""What `nastool export` prints of an engine."""

from types import SimpleNamespace
from typing import Any

from cli.export import _engine_line
from toolchain.export.manifest import EngineRecord, FileRecord, ParityRecord

RECORD = EngineRecord(
    precision="fp32", built_from="model.onnx", capability="8.6", built_by="tensorrt_rtx 1.7.1", batches=(32, 32, 32)
)


def line(record: EngineRecord) -> str:
    files = {"model.sm86.engine": FileRecord(sha256="0", bytes=1_830_000)}
    models = {"model.onnx": SimpleNamespace(convolutions={"fp32": 36})}
    manifest: Any = SimpleNamespace(engines={"model.sm86.engine": record}, files=files, models=models)
    return _engine_line("model.sm86.engine", manifest)


def test_an_engine_that_was_not_run_says_why() -> None:
    reason = "no GPU of compute capability 8.6"
    assert line(RECORD.model_copy(update={"not_verified": reason})) == (
        "1.83 MB, from model.onnx by tensorrt_rtx 1.7.1 for compute capability 8.6, batch 32; not verified: "
        "no GPU of compute capability 8.6"
    )


def test_an_engine_counts_the_convolutions_that_its_builder_lists() -> None:
    update = {"convolutions": {"int8": 35, "fp16": 1}, "not_verified": "no GPU"}
    assert line(RECORD.model_copy(update=update)) == (
        "1.83 MB, from model.onnx by tensorrt_rtx 1.7.1 for compute capability 8.6, batch 32, "
        "35 of 36 convolutions int8, 1 of 36 convolutions fp16; not verified: no GPU"
    )


def test_a_verified_engine_has_its_latency_and_its_files() -> None:
    parity = ParityRecord(relative_error=7.1e-7, top1_agreement=1.0, images=256, batches=(1, 8, 32))
    update = {
        "capability": "current",
        "batches": (1, 8, 32),
        "parity": parity,
        "holdout_accuracy": 0.881,
        "measured_latency_ms": 1.25,
        "onnx_latency_ms": 1.5,
        "not_verified": "",
    }
    assert line(RECORD.model_copy(update=update)) == (
        "1.250 ms a batch of 8, model.onnx 1.500 ms in the same rounds; hold-out 88.10%, top-1 agreement 100.00%, "
        "relative error 7.1e-07 on 256 images; 1.83 MB, from model.onnx by tensorrt_rtx 1.7.1 for this device, "
        "batches 1 to 32, tuned for 8"
    )
