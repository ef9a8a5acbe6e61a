"""A device that is reached by ssh: a real sshd on 127.0.0.1, and an environment with numpy and onnxruntime alone.

Used by `remote.py` and by the tests of remote devices.
"""

import os
import shutil
import socket
import subprocess
import sysconfig
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from getpass import getuser
from pathlib import Path

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
PACKAGES = ("numpy", "numpy.libs", "onnxruntime")


@dataclass(frozen=True)
class SshDevice:
    """An ssh server with its own keys.

    Args:
        ssh: the ssh command that knows the server (NASTOOL_SSH).
        stranger: one that does not know its host key.
        cache: the folder of files on the device.
    """

    address: str
    ssh: str
    stranger: str
    cache: Path
    server: "subprocess.Popen[bytes]"


def missing() -> str:
    """Why no server can be started here; empty if one can."""
    if SSHD is None:
        return "there is no sshd. Run apt-get install openssh-server"
    return "" if shutil.which("ssh") and shutil.which("ssh-keygen") else "there is no ssh client"


def environment(folder: Path) -> Path:
    """The interpreter of an environment with numpy and onnxruntime alone, linked from this one."""
    venv.create(folder, symlinks=True, with_pip=False)
    here = Path(sysconfig.get_paths()["purelib"])
    (there,) = folder.glob("lib/python*/site-packages")
    for package in PACKAGES:
        if (here / package).exists():
            (there / package).symlink_to(here / package)
    return folder / "bin" / "python"


@contextmanager
def ssh_device(folder: Path, python: Path) -> Iterator[SshDevice]:
    """Start a server on a free port; it is stopped at the end."""
    for name in ("host", "user"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(command, check=True)
    port, cache = _free_port(), folder / "device cache"
    locks = os.environ.get("NASTOOL_LOCKS", "")  # empty: those of the machine
    (folder / "sshd.conf").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\n"
        f"PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
        f'SetEnv NASTOOL_CACHE="{cache}" NASTOOL_LOCKS="{locks}"\n'
    )
    key = (folder / "host.pub").read_text().split()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {key[0]} {key[1]}\n")
    for name, hosts in (("ssh.conf", "known_hosts"), ("stranger.conf", "no_hosts")):
        (folder / name).write_text(
            f"IdentityFile {folder}/user\nIdentitiesOnly yes\nUserKnownHostsFile {folder}/{hosts}\n"
            f"GlobalKnownHostsFile /dev/null\n"
        )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd separates privileges there
    assert SSHD is not None
    server = subprocess.Popen([SSHD, "-D", "-e", "-f", folder / "sshd.conf"], stderr=(folder / "log").open("wb"))
    try:
        _wait_for(port, server, folder / "log")
        yield SshDevice(
            f"ssh://{getuser()}@127.0.0.1:{port}{python}",
            f"ssh -F {folder}/ssh.conf",
            f"ssh -F {folder}/stranger.conf",
            cache,
            server,
        )
    finally:
        server.terminate()
        server.wait()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait_for(port: int, server: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"sshd did not start: {log.read_text()}")
