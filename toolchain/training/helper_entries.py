"""Entries that operating systems and tools leave among a user's images, and that are no part of the data."""

import re

HELPERS = frozenset(
    {
        "__macosx", "icon\r",  # macOS; its `._name` and `.DS_Store` begin with a dot
        "thumbs.db", "thumbs.db:encryptable", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini",  # Windows
        "$recycle.bin", "recycler", "recycled", "system volume information",
        "msocache", "$extend", "dfsrprivate",
        "@eadir", "#recycle", "#snapshot", "@tmp", "@sharesnap", "@sharebin", "@snapshot",
        "@appstore", "@database", "~snapshot",  # Synology
        "@__thumb", "@recycle", "@recently-snapshot", ".@__thumb",  # QNAP
        "lost+found", "network trash folder", "temporary items", "thevolumesettingsfolder", "__pycache__",
        "picasa.ini", "zbthumbnail.info",
    }
)  # fmt: skip
RECOVERED = re.compile(r"found\.\d{3}")  # by a check of a Windows disk
HELPER_PREFIXES = ("@syno", "~$")  # Synology; locks of office programs
HELPER_SUFFIXES = ("@synoeastream", "@synoresource")


def is_helper(name: str) -> bool:
    """Whether one component of a path is hidden (begins with a dot) or a well-known helper entry."""
    lowered = name.lower()
    return (
        name.startswith(".")
        or lowered in HELPERS
        or lowered.startswith(HELPER_PREFIXES)
        or lowered.endswith(HELPER_SUFFIXES)
        or RECOVERED.fullmatch(lowered) is not None
    )


def is_helper_path(path: str) -> bool:
    """Whether any component of a tar member's path is a helper entry; `.` and `..` are not."""
    return any(is_helper(part) for part in path.split("/") if part not in {"", ".", ".."})
