"""What `nastool retrain` writes for one architecture: `result.json` with its accuracies, and its weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, Field, JsonValue

from toolchain.errors import BadCheckpoint
from toolchain.files import Count, Document, ImageCount, Share, read_document
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.network import Network
from toolchain.runs import Run
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.training.checkpoint import require_fields
from toolchain.training.data import Data
from toolchain.training.printable import printable
from toolchain.training.sealed_file import load_sealed
from toolchain.training.state_check import load_state

REMEDY = "Remove it and run nastool retrain"


class Retrained(Document):
    """The accuracy of an architecture that was trained alone.

    Args:
        fingerprint: what its weights depend on: space, data, seed and recipe. nastool 0.1.0 called it `belongs`.
        evaluated_on: digests of the hold-out and test images; None in files of nastool 0.1.0.
        holdout_images, test_images: their numbers; None in files of nastool 0.1.0.
    """

    schema_version: Literal[1] = 1
    architecture: tuple[str, ...]
    space: str
    test_accuracy: Share
    holdout_accuracy: Share
    steps: Count
    fingerprint: dict[str, JsonValue] = Field(validation_alias=AliasChoices("fingerprint", "belongs"))
    evaluated_on: dict[str, str] | None = None
    holdout_images: ImageCount | None = None
    test_images: ImageCount | None = None


def read_retrained(path: Path) -> Retrained:
    """Read a `result.json`.

    Raises:
        BadDocument: it is damaged; the field is named.
    """
    return read_document(path, Retrained, REMEDY)


def load_retrained(space: SearchSpace, arch: Architecture, data: Data, run: Run) -> Network:
    """The retrained `arch`, in eval mode, trained on `data`.

    Raises:
        MissingStage: it was not retrained.
        BadCheckpoint: the file is damaged, or of another space or data set.
    """
    path, content = _content(space, arch, run)
    fingerprint = content["fingerprint"]
    if fingerprint.get("training_images") != data.digests.training:
        raise BadCheckpoint(f"{path} was trained {_on_other_images(str(fingerprint.get('data')), data)}")
    return _network(space, arch, path, content)


def read_network(space: SearchSpace, arch: Architecture, run: Run) -> Network:
    """The retrained `arch`, in eval mode, on whatever data it was trained.

    Raises:
        MissingStage: it was not retrained.
        BadCheckpoint: the file is damaged, or of another space.
    """
    path, content = _content(space, arch, run)
    return _network(space, arch, path, content)


def _content(space: SearchSpace, arch: Architecture, run: Run) -> tuple[Path, Mapping[str, Any]]:
    """The file of the retrained `arch` and its content, of `space`."""
    path = run.retrain(arch) / "best.pt"
    run.require(path, "retrain")
    content = require_fields(path, load_sealed(path), {"fingerprint": dict, "model": dict})
    fingerprint = content["fingerprint"]
    if fingerprint.get("space_digest") != space.digest:
        named = printable(str(fingerprint.get("space")))
        raise BadCheckpoint(f"{path} is a network of the space {named}, not of {space.name}. Give --space {named}")
    return path, content


def _on_other_images(trained_on: str, data: Data) -> str:
    """What differs between the data of a network and `data`, and what to do."""
    named = printable(trained_on)
    if named == data.name:
        return f"on other images of {named}: its files, the hold-out or the seed have changed since. Retrain"
    return f"on {named}, and the data of this command is {data.name}. Give --data {named}, or retrain"


def _network(space: SearchSpace, arch: Architecture, path: Path, content: Mapping[str, Any]) -> Network:
    net = Network(space, arch, STANDALONE)
    load_state(path, net, content["model"])
    return net.eval()
