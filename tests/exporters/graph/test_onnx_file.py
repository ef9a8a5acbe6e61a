"""Reading ONNX files as users have them: several files, symbolic links, files that the checker refuses."""

import hashlib
import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from exporters.errors import NotOnnx
from exporters.graph.model import Model
from exporters.graph.onnx_file import load_model, read_onnx, write_model


def model(weight: float = 1.0, output_shape: list[str | int] | None = None) -> onnx.ModelProto:
    """y = x @ w, with w (4, 4)."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, output_shape)
    w = numpy_helper.from_array(np.full((4, 4), weight, np.float32), "w")
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [x], [y], [w])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def save_with_data(folder: Path, weight: float = 1.0, name: str = "model.onnx") -> Path:
    """`model` with its weights in NAME.data."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    onnx.save(model(weight, ["n", 4]), path, save_as_external_data=True, location=f"{name}.data", size_threshold=0)
    return path


def test_size_and_digest_cover_external_data(tmp_path: Path) -> None:
    one, other = (read_onnx(save_with_data(tmp_path / str(weight), weight)) for weight in (1.0, 2.0))
    assert one.path.read_bytes() == other.path.read_bytes()
    assert [file.name for file in one.files] == ["model.onnx", "model.onnx.data"]
    assert one.n_bytes == one.path.stat().st_size + 64
    assert one.sha256() != other.sha256()
    assert numpy_helper.to_array(other.model.graph.initializer[0]).sum() == 32.0


def test_the_digest_of_one_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    write_model(model(output_shape=["n", 4]), path)
    assert read_onnx(path).sha256() == hashlib.sha256(path.read_bytes()).hexdigest()
    assert read_onnx(path).n_bytes == path.stat().st_size


def test_the_graph_hash_does_not_depend_on_where_weights_are_stored(tmp_path: Path) -> None:
    write_model(model(output_shape=["n", 4]), tmp_path / "one.onnx")
    assert Model(tmp_path / "one.onnx").graph_hash == Model(save_with_data(tmp_path)).graph_hash


def test_a_missing_data_file_is_named(tmp_path: Path) -> None:
    path = save_with_data(tmp_path)
    (tmp_path / "model.onnx.data").unlink()
    with pytest.raises(NotOnnx) as caught:
        load_model(path)
    assert str(caught.value) == (
        f"{path} stores its weights in {path}.data, which cannot be read: No such file or directory. "
        f"Copy model.onnx.data into the folder of model.onnx, or export the model as one file"
    )


def test_a_truncated_data_file_is_named(tmp_path: Path) -> None:
    path = save_with_data(tmp_path)
    (tmp_path / "model.onnx.data").write_bytes(b"\0" * 10)
    with pytest.raises(NotOnnx, match=r"model\.onnx\.data, .* is truncated: 64 bytes at 0 are needed and 10 are there"):
        load_model(path)


@pytest.mark.parametrize("location", ["../secret", "/etc/hostname", ""])
def test_data_outside_of_the_folder_is_refused(location: str, tmp_path: Path) -> None:
    path = save_with_data(tmp_path)
    content = onnx.load(path, load_external_data=False)
    content.graph.initializer[0].external_data[0].value = location
    path.write_bytes(content.SerializeToString())
    with pytest.raises(NotOnnx, match="which is not inside its folder"):
        load_model(path)


def test_an_offset_that_is_not_a_number_is_refused(tmp_path: Path) -> None:
    path = save_with_data(tmp_path)
    content = onnx.load(path, load_external_data=False)
    for entry in content.graph.initializer[0].external_data:
        if entry.key == "offset":
            entry.value = "many"
    path.write_bytes(content.SerializeToString())
    with pytest.raises(NotOnnx, match=r"model\.onnx is not a valid ONNX file: .*'many'"):
        load_model(path)


def test_links_into_another_folder_are_followed(tmp_path: Path) -> None:
    """The cache of Hugging Face: snapshots/REVISION/model.onnx -> ../../blobs/DIGEST, and its data alike."""
    stored = save_with_data(tmp_path / "blobs")
    links = tmp_path / "snapshots" / "main"
    links.mkdir(parents=True)
    for name in ("model.onnx", "model.onnx.data"):
        (links / name).symlink_to(f"../../blobs/{name}")
    linked = read_onnx(links / "model.onnx")
    assert linked.sha256() == read_onnx(stored).sha256()
    assert Model(links / "model.onnx").precision == "fp32"


def test_what_onnxruntime_loads_is_a_model(tmp_path: Path) -> None:
    """The checker demands shapes of outputs, and onnxruntime infers them."""
    path = tmp_path / "model.onnx"
    path.write_bytes(model(output_shape=None).SerializeToString())
    with pytest.raises(onnx.checker.ValidationError):
        onnx.checker.check_model(onnx.load(path))
    assert [node.op_type for node in load_model(path).graph.node] == ["MatMul"]


def test_what_the_checker_refuses_is_quoted(tmp_path: Path) -> None:
    broken = model(output_shape=["n", 4])
    broken.graph.node[0].input[1] = "nowhere"
    (tmp_path / "model.onnx").write_bytes(broken.SerializeToString())
    with pytest.raises(NotOnnx, match=r"model\.onnx is not a valid ONNX file: Nodes in a graph must be topologically"):
        load_model(tmp_path / "model.onnx")


@pytest.mark.parametrize("content", [b"", b"not a network", b"html", "truncated"])
def test_other_files_are_refused(tmp_path: Path, content: bytes | str) -> None:
    path = tmp_path / "bad.onnx"
    whole = model(output_shape=["n", 4]).SerializeToString()
    path.write_bytes(content if isinstance(content, bytes) else whole[:-30])
    for name in ("metadata", "graph_hash", "precision"):
        with pytest.raises(NotOnnx, match=r"bad\.onnx is not a valid ONNX file: .*Export it again, or name another"):
            getattr(Model(path), name)


def test_a_folder_is_not_called_an_invalid_model(tmp_path: Path) -> None:
    with pytest.raises(NotOnnx, match=r"^cannot read \S+: Is a directory\. Make it readable, or name an ONNX file$"):
        read_onnx(tmp_path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotOnnx, match=r"none\.onnx does not exist\. Export it first, or name another file"):
        load_model(tmp_path / "none.onnx")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("version https://git-lfs.github.com/spec/v1\noid", "is a Git LFS pointer, not an ONNX file. Run git lfs pull"),
        ("<!DOCTYPE html>", "is a web page (HTML), not an ONNX file: the download gave a page. Download the file"),
    ],
)
def test_what_stands_in_for_a_model_is_named(content: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_text(content)
    with pytest.raises(NotOnnx) as caught:
        read_onnx(path)
    assert f"{path} {expected}" in str(caught.value)


@pytest.mark.parametrize(
    ("opset", "domain", "reason"),
    [
        (99, "", "ONNX Runtime only *guarantees* support for models stamped with official released onnx opset"),
        (20, "mine", "mine:MatMul(-1) is not a registered function/op"),
    ],
)
def test_the_reason_of_onnxruntime_is_given_where_a_shape_is_only_missing(
    opset: int, domain: str, reason: str, tmp_path: Path
) -> None:
    made = model()
    made.opset_import[0].version = opset
    made.graph.node[0].domain = domain
    made.opset_import.append(helper.make_opsetid("mine", 1))
    onnx.save(made, tmp_path / "model.onnx")
    with pytest.raises(NotOnnx) as caught:
        read_onnx(tmp_path / "model.onnx")
    assert str(caught.value).startswith(f"{tmp_path}/model.onnx is not a valid ONNX file: {reason}")


def test_a_pipe_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.onnx")
    with pytest.raises(NotOnnx, match=r"model\.onnx is a pipe, socket or device, and must be a file"):
        read_onnx(tmp_path / "model.onnx")


def test_a_path_that_is_not_utf_8_is_named_as_such(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.onnx")
    write_model(model(output_shape=["n", 4]), path)
    with pytest.raises(NotOnnx, match=r"caf\\udce9\.onnx': the path is not UTF-8\. Rename the file"):
        read_onnx(path)
