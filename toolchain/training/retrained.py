"""`result.json`: what `nastool retrain` writes beside the weights of one architecture."""

from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, Field

from toolchain.files import Count, Document, Share, read_document

REMEDY = "Remove it and run nastool retrain"


class Retrained(Document):
    """The accuracy of an architecture that was trained alone.

    Args:
        fingerprint: what its weights depend on: space, data, seed and recipe. nastool 0.1.0 called it `belongs`.
        evaluated_on: digests of the hold-out and test images; None in files of nastool 0.1.0.
    """

    schema_version: Literal[1] = 1
    architecture: tuple[str, ...]
    space: str
    test_accuracy: Share
    holdout_accuracy: Share
    steps: Count
    fingerprint: dict[str, Any] = Field(validation_alias=AliasChoices("fingerprint", "belongs"))
    evaluated_on: dict[str, str] | None = None


def read_retrained(path: Path) -> Retrained:
    """Read a `result.json`.

    Raises:
        BadDocument: it is damaged; the field is named.
    """
    return read_document(path, Retrained, REMEDY)
