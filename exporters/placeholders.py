"""Files that stand in for the real one: Git LFS pointers and web pages that a download gave."""

HEAD_BYTES = 512
_MARKUP = (b"<!doctype", b"<html", b"<?xml", b"<head")


def placeholder(head: bytes, content: str) -> str | None:
    """What a file is and what to do, from its first bytes; None for anything but a placeholder.

    Args:
        head: the first `HEAD_BYTES` bytes.
        content: what was expected, for the message: `weights`, `an image`.
    """
    if head.startswith(b"version https://git-lfs"):
        return f"is a Git LFS pointer, not {content}. Run git lfs pull in its repository"
    if head.lstrip().lower().startswith(_MARKUP):
        return f"is a web page (HTML), not {content}: the download gave a page. Download the file itself"
    return None
