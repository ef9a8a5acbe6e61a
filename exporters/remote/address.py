"""The addresses of remote devices: `ssh://user@host:port/path/to/python` and `cmd:COMMAND`.

`#gpu` after it is a device of that machine; its CPU is the default.
"""

import os
import re
import shlex
from dataclasses import dataclass

from exporters.errors import UnknownDevice

SSH, COMMAND = "ssh://", "cmd:"
PYTHON = "python3"
SSH_VARIABLE = "NASTOOL_SSH"  # the ssh command with its options, as GIT_SSH_COMMAND
# Never ask, since the answer would have to come from the user; notice a dead connection within 30 s.
OPTIONS = ("BatchMode=yes", "ConnectTimeout=10", "ServerAliveInterval=10", "ServerAliveCountMax=3")
HOST = re.compile(r"(?:(?P<user>[\w][\w.-]*)@)?(?P<host>[\w][\w.-]*|\[[0-9A-Fa-f:.]+\])(?::(?P<port>\d{1,5}))?")
MAX_PORT = 65535
PATH = re.compile(r"[\w.+~/-]+")
ON_MACHINE = re.compile(r"#([A-Za-z0-9][\w.-]*)$")


@dataclass(frozen=True)
class Address:
    """A remote device.

    Args:
        text: as it was given.
        command: starts a Python interpreter there; its arguments follow.
        shell: a shell on the device splits the last word of `command` and the arguments.
        on_machine: the device of that machine: `cpu`, or a name of a GPU as of an attached one.
    """

    text: str
    command: tuple[str, ...]
    shell: bool = False
    on_machine: str = "cpu"

    @property
    def machine(self) -> str:
        """The address of the machine alone."""
        return ON_MACHINE.sub("", self.text)

    def with_arguments(self, *arguments: str) -> list[str]:
        """The command that starts the interpreter with these arguments."""
        if not self.shell:
            return [*self.command, *arguments]
        *ssh, python = self.command
        return [*ssh, f"exec {python} {shlex.join(arguments)}"]


def is_remote(text: str) -> bool:
    """Whether a value of --device is the address of a remote device."""
    return text.startswith((SSH, COMMAND))


def parse_address(text: str) -> Address:
    """The remote device with this address.

    Raises:
        UnknownDevice: it is not a valid address.
    """
    named, machine = ON_MACHINE.search(text), ON_MACHINE.sub("", text)
    try:
        command = (
            _ssh(machine.removeprefix(SSH)) if text.startswith(SSH) else shlex.split(machine.removeprefix(COMMAND))
        )
    except ValueError as problem:
        raise UnknownDevice(
            f"{text!r} is not the address of a device: {problem}. Write it as ssh://user@host, "
            f"ssh://user@host:22/~/venv/bin/python, or cmd:COMMAND; #gpu after it names its GPU"
        ) from None
    if not command:
        raise UnknownDevice(f"{text!r} names no command. Write it as cmd:'docker exec -i box python3'")
    return Address(text, tuple(command), text.startswith(SSH), named[1].lower() if named else "cpu")


def _ssh(place: str) -> list[str]:
    at, slash, path = place.partition("/")
    match = HOST.fullmatch(at)
    if match is None:
        if at.endswith("@") or not at:
            raise ValueError("it has no host")
        raise ValueError(f"{at!r} is not user@host:port (a password cannot be given)")
    if match["port"] and int(match["port"]) > MAX_PORT:
        raise ValueError(f"the port {match['port']} is above {MAX_PORT}")
    python = path if path.startswith("~") else slash + path
    if python not in ("", "/") and not PATH.fullmatch(python):
        raise ValueError(f"{python!r} is not the path of a Python interpreter")
    user, host, port = match["user"], match["host"].strip("[]"), match["port"]
    return [
        *shlex.split(os.environ.get(SSH_VARIABLE) or "ssh"),
        "-T",
        *(word for option in OPTIONS for word in ("-o", option)),
        *(("-p", port) if port else ()),
        f"{user}@{host}" if user else host,
        PYTHON if python in ("", "/") else python,
    ]
