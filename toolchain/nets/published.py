"""Published networks as architectures of the built-in spaces, with their published figures.

The paper's own ten networks of Table 5 and its mixed-precision networks are published as pictures only, so they are
missing here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from toolchain.errors import BadArchitecture

MOBILE_VISION = "facebookresearch/mobile-vision, bb8465c, fbnet_modeldef_cls_fbnet.py; figures: paper Table 5"
HAN_CAI = "han-cai/files, a7c9bcd, proxylessnas/{}.config; figures: paper Table 5"
OFFICIAL = "megvii-model/SinglePathOneShot, 36eed6c, {}"


@dataclass(frozen=True)
class Published:
    """A published network, its source, and its published figures."""

    name: str
    space: str
    architecture: str
    source: str
    macs_m: int  # millions of multiply-adds, as printed; the paper calls them FLOPs
    top1_percent: float  # on ImageNet; for Table 5 the accuracy after retraining by the paper's authors
    titan_xp_batch32_ms: int | None = None


_NETWORKS = (
    Published(
        name="fbnet_a",
        space="fbnet:head_channels=1504",
        architecture="skip k3e3 k3e1 skip skip k5e6 k3e3 k5e1 k3e3 k5e6 k5e3 k5e1g2 k5e6 k3e6 k5e1g2 k5e3 k3e1g2 "
        "k5e6 k5e6 k5e3 k5e6 k5e6",
        source=MOBILE_VISION,
        macs_m=249,
        top1_percent=73.0,
        titan_xp_batch32_ms=13,
    ),
    Published(
        name="fbnet_b",
        space="fbnet",
        architecture="k3e1 k3e6 k5e1 k3e1 k3e1 k5e6 k5e3 k3e6 k5e6 k5e6 k5e6 skip k5e3 k5e6 k3e1 k5e1 k5e3 k5e6 k5e1 "
        "k5e6 k5e6 k3e6",
        source=MOBILE_VISION,
        macs_m=295,
        top1_percent=74.1,
        titan_xp_batch32_ms=17,
    ),
    Published(
        name="fbnet_c",
        space="fbnet",
        architecture="k3e1 k3e6 skip k3e1 k3e1 k5e6 k5e3 k5e6 k3e6 k5e6 k5e3 k5e6 k5e6 k5e6 k5e6 k5e6 k5e3 k5e6 k5e6 "
        "k5e6 k5e6 k3e6",
        source=MOBILE_VISION,
        macs_m=375,
        top1_percent=74.9,
        titan_xp_batch32_ms=19,
    ),
    Published(
        name="proxyless_mobile",
        space="proxyless_mobile",
        architecture="k5e3 k3e3 skip skip k7e3 k3e3 k5e3 k5e3 k7e6 k5e3 k5e3 k5e3 k5e6 k5e3 k5e3 k5e3 k7e6 k7e6 k7e3 "
        "k7e3 k7e6",
        source=HAN_CAI.format("proxyless_mobile"),
        macs_m=320,
        top1_percent=74.2,
        titan_xp_batch32_ms=17,
    ),
    Published(
        name="proxyless_gpu",
        space="proxyless_gpu",
        architecture="k5e3 skip skip skip k7e3 skip skip k3e3 k7e6 skip skip k5e3 k5e6 skip k3e3 k5e3 k7e6 k7e6 k7e6 "
        "k5e6 k7e6",
        source=HAN_CAI.format("proxyless_gpu"),
        macs_m=465,
        top1_percent=74.7,
        titan_xp_batch32_ms=22,
    ),
    Published(
        name="spos_blocks",
        space="shufflenet_v2",
        architecture="choice_3 choice_3 choice_x choice_5 choice_5 choice_5 choice_3 choice_3 choice_7 choice_3 "
        "choice_7 choice_5 choice_5 choice_3 choice_7 choice_3 choice_7 choice_5 choice_x choice_7",
        source=OFFICIAL.format("network.py; figures: paper Table 3, block search"),
        macs_m=319,
        top1_percent=74.3,
    ),
    Published(
        name="spos_channels",
        space="shufflenet_v2_joint",
        architecture="choice_3@1.4 choice_3@1.2 choice_x@0.8 choice_5@1.2 choice_5@0.6 choice_5@1.4 choice_3@0.8 "
        "choice_3 choice_7@0.6 choice_3@1.2 choice_7@1.6 choice_5@1.2 choice_5 choice_3@1.4 choice_7@1.6 choice_3 "
        "choice_7 choice_5@1.2 choice_x choice_7@0.8",
        source=OFFICIAL.format("network.py; figures: paper Table 4, block search + channel search"),
        macs_m=328,
        top1_percent=74.7,
    ),
    Published(
        name="spos_released",
        space="shufflenet_v2",
        architecture="choice_7 choice_5 choice_3 choice_5 choice_7 choice_3 choice_7 choice_3 choice_7 choice_3 "
        "choice_7 choice_x choice_3 choice_3 choice_3 choice_3 choice_x choice_7 choice_x choice_x",
        source=OFFICIAL.format("README.md, result of the released search code"),
        macs_m=323,
        top1_percent=74.4,
    ),
)

PUBLISHED: Mapping[str, Published] = {network.name: network for network in _NETWORKS}


def published(name: str) -> Published:
    """The published network with this name.

    Raises:
        BadArchitecture: the name is unknown.
    """
    if name not in PUBLISHED:
        raise BadArchitecture(f"unknown published network {name!r}. Known: {', '.join(PUBLISHED)}")
    return PUBLISHED[name]
