"""Engine files of the backend fake: an ONNX file behind a header, which no other runtime loads."""

import json
from dataclasses import dataclass

from exporters.cuda.engine import BatchRange
from exporters.cuda.plans import HEADER_BYTES, SIZE_AT
from exporters.errors import EngineFailed

TAG = b"fake"
INFO_SIZE_AT = 24  # in the header: the size of the JSON text behind it


@dataclass(frozen=True)
class SimulatedPlan:
    """The content of an engine file.

    Args:
        precision: of the ONNX file.
        slowdown: share by which the engine is slower than its ONNX file: the builder's own.
    """

    batch: BatchRange
    precision: str
    slowdown: float
    onnx: bytes

    def to_bytes(self) -> bytes:
        """The file: header, JSON text, ONNX file."""
        info = json.dumps(
            {
                "batches": [self.batch.least, self.batch.best, self.batch.most],
                "precision": self.precision,
                "slowdown": self.slowdown,
            }
        ).encode()
        size = HEADER_BYTES + len(info) + len(self.onnx)
        header = bytearray(HEADER_BYTES)
        header[: len(TAG)] = TAG
        header[SIZE_AT : SIZE_AT + 8] = size.to_bytes(8, "little")
        header[INFO_SIZE_AT : INFO_SIZE_AT + 8] = len(info).to_bytes(8, "little")
        return bytes(header) + info + self.onnx

    @classmethod
    def from_bytes(cls, content: bytes, name: str) -> "SimulatedPlan":
        """Parse a file.

        Args:
            name: of the file, for messages.

        Raises:
            EngineFailed: it is not an engine of the backend fake, or damaged.
        """
        info_size = int.from_bytes(content[INFO_SIZE_AT : INFO_SIZE_AT + 8], "little")
        start = HEADER_BYTES + info_size
        try:
            info = json.loads(content[HEADER_BYTES:start])
            batch = BatchRange(*info["batches"])
            return cls(batch, str(info["precision"]), float(info["slowdown"]), content[start:])
        except (ValueError, KeyError, TypeError):
            raise EngineFailed(
                f"fake cannot load {name}: it is not an engine of this backend. Build it again"
            ) from None
