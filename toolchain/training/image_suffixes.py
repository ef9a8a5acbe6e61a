"""Suffixes of the image files that Pillow reads by itself."""

from functools import cache

from PIL import Image

# Pillow knows these by name, but needs another program to decode them, or writes them only.
NEEDS_OTHER_PROGRAM = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "PALM", "PDF", "WMF"})
DECODED_BY = {"MPO": "JPEG"}  # formats that another format's decoder opens


@cache
def image_suffixes() -> frozenset[str]:
    """In lower case, with the dot: `.jpg`."""
    registered = Image.registered_extensions()
    return frozenset(
        suffix
        for suffix, name in registered.items()
        if name not in NEEDS_OTHER_PROGRAM and DECODED_BY.get(name, name) in Image.OPEN
    )
