"""Tables that need spaces of a family."""

from toolchain.errors import BadConfig

NEEDED = {
    "table5": ("proxyless", "proxyless_mobile", "proxyless_gpu"),
    "table6": ("resnet18_bits", "resnet34_bits"),
}


def check_space(name: str, space: str) -> None:
    """Check that a table can be measured in a space.

    Raises:
        BadConfig: the table needs a space of another family.
    """
    needed = NEEDED.get(name)
    if needed and space.partition(":")[0] not in needed:
        raise BadConfig(f"{name} needs the space {' or '.join(needed)}, and {space} is another one. Give --space")
