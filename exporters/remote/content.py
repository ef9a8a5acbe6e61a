"""What is sent to a device: the content of a file, and arrays that fit into one message."""

from exporters.agent.frames import MAX_RAW
from exporters.errors import DeviceFailed, NotOnnx
from exporters.graph.model import Model


def content_of(model: Model) -> bytes:
    """The file as one: with the weights of its data files.

    Raises:
        NotOnnx: it cannot be read, or is larger than an ONNX file can be.
    """
    if not model.has_data_files:
        return model.path.read_bytes()
    try:
        return bytes(model.proto.SerializeToString())
    except Exception as problem:  # protobuf documents no set of errors
        raise NotOnnx(
            f"{model.path} with its data files is larger than 2 GiB ({problem}), so it cannot be sent to a device. "
            f"Use a smaller network"
        ) from None


def require_size(n_bytes: int, what: str) -> None:
    """Check that arrays fit into a message.

    Raises:
        DeviceFailed: they do not.
    """
    if n_bytes > MAX_RAW:
        raise DeviceFailed(f"{what} has {n_bytes} bytes, and a device takes {MAX_RAW} at once. Use a smaller batch")
