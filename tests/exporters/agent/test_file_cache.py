"""Files on a device: one for each content, below one folder, of limited size, never a part of one."""

import hashlib
import os
import pwd
import tempfile
from pathlib import Path

import pytest

from exporters.agent.file_cache import ENGINE, FileCache, device_folder


def put(cache: FileCache, content: bytes) -> str:
    digest = hashlib.sha256(content).hexdigest()
    half = len(content) // 2
    cache.append(digest, content[:half], 0)
    assert not cache.has(digest)
    cache.append(digest, content[half:], half)
    cache.finish(digest)
    return digest


def test_a_file_is_there_once_it_is_complete(tmp_path: Path) -> None:
    cache = FileCache(tmp_path / "cache")
    digest = put(cache, b"a network")
    assert cache.has(digest)
    assert cache.path(digest).read_bytes() == b"a network"


@pytest.mark.parametrize("name", ["../" * 20 + "etc/passwd", "a" * 63, "A" * 64, "", "a" * 64 + "\n", "/" + "a" * 63])
def test_no_place_outside_the_folder_can_be_named(tmp_path: Path, name: str) -> None:
    cache = FileCache(tmp_path)
    for use in (cache.path, cache.has, cache.finish, lambda digest: cache.append(digest, b"", 0)):
        with pytest.raises(ValueError, match="is not a SHA-256 digest"):
            use(name)


def test_a_file_with_another_content_is_removed(tmp_path: Path) -> None:
    cache = FileCache(tmp_path)
    digest = hashlib.sha256(b"expected").hexdigest()
    cache.append(digest, b"damaged", 0)
    with pytest.raises(ValueError, match="the uploaded file has the digest"):
        cache.finish(digest)
    assert list(tmp_path.iterdir()) == []


def test_the_least_recently_used_files_are_removed(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, max_bytes=25)
    first, second = put(cache, b"1" * 10), put(cache, b"2" * 10)
    os.utime(cache.path(first), (1, 1))
    os.utime(cache.path(second), (2, 2))
    assert cache.has(first)  # which uses it now
    third = put(cache, b"3" * 10)
    assert [cache.has(digest) for digest in (first, second, third)] == [True, False, True]
    assert cache.has(put(cache, b"4" * 40)), "the newest file is needed, however large it is"


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, digest, flushed = FileCache(tmp_path), "a" * 64, []

    def fsync(descriptor: int) -> None:
        flushed.append(Path(f"/proc/self/fd/{descriptor}").resolve().read_bytes())
        assert not cache.has(digest, ENGINE)

    monkeypatch.setattr(os, "fsync", fsync)
    cache.store(digest, b"an engine", ENGINE)
    assert flushed == [b"an engine"]
    assert cache.has(digest, ENGINE)


@pytest.mark.parametrize("home", [None, "/proc/nothing/here"])
def test_without_a_home_folder_files_are_below_the_temporary_folder(
    home: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "NASTOOL_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: {}[uid])  # no entry: a KeyError
    if home:
        monkeypatch.setenv("HOME", home)
    assert device_folder() == Path(tempfile.gettempdir()) / "nastool/device"


def test_the_environment_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("NASTOOL_CACHE")
    assert device_folder() == tmp_path / "xdg/nastool/device"
    monkeypatch.setenv("NASTOOL_CACHE", str(tmp_path / "own"))
    assert device_folder() == tmp_path / "own/device"
