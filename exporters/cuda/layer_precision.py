"""The precision of convolutions in an engine, from the descriptions of layers that its builder logs.

TensorRT-RTX logs every layer of a finished engine if its profiling verbosity is DETAILED, also without a GPU:

    Name: node_Conv_9_myl0_3, LayerType: correlation, Inputs: [ { ..., Datatype: Int8, ... }], Constants: ...

TensorRT describes layers in another way; its engines are inspected where they run.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

DESCRIPTION = "LayerType: "
CONVOLUTION = re.compile(r"LayerType: correlation, Inputs: \[ \{.*?Datatype: (\w+)")
WORDS = {"Float": "fp32", "Half": "fp16", "Int8": "int8"}


def convolution_precisions(messages: Iterable[str]) -> dict[str, int]:
    """How many convolutions multiply in each precision: `{"int8": 36}`; empty if no message describes one."""
    names = (match[1] for message in messages for match in CONVOLUTION.finditer(message))
    return dict(Counter(WORDS.get(name, name.lower()) for name in names))
