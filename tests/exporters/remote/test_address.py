"""Addresses of devices, and the commands that they stand for."""

import pytest

from exporters.errors import UnknownDevice
from exporters.remote.address import is_remote, parse_address


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("ssh://pi@10.0.0.7", ["pi@10.0.0.7", "exec python3 -c 'a b'"]),
        ("ssh://pi", ["pi", "exec python3 -c 'a b'"]),
        ("ssh://pi/", ["pi", "exec python3 -c 'a b'"]),
        ("ssh://pi@board:2222/opt/venv/bin/python", ["-p", "2222", "pi@board", "exec /opt/venv/bin/python -c 'a b'"]),
        ("ssh://board/~/venv/bin/python", ["board", "exec ~/venv/bin/python -c 'a b'"]),
        ("ssh://me@[fe80::1]:22", ["-p", "22", "me@fe80::1", "exec python3 -c 'a b'"]),
        ("cmd:docker exec -i box python3", ["docker", "exec", "-i", "box", "python3", "-c", "a b"]),
    ],
)
def test_command(text: str, end: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NASTOOL_SSH", raising=False)
    command = parse_address(text).with_arguments("-c", "a b")
    assert command[-len(end) :] == end
    if text.startswith("ssh://"):
        assert command[0] == "ssh"
        assert "BatchMode=yes" in command, "nobody could answer a question"
        assert not [word for word in command if "StrictHostKeyChecking" in word or "KnownHosts" in word]


@pytest.mark.parametrize(
    ("text", "machine", "device"),
    [
        ("ssh://pi@board", "ssh://pi@board", "cpu"),
        ("ssh://pi@board#gpu", "ssh://pi@board", "gpu"),
        ("ssh://board/~/venv/bin/python#TitanXP", "ssh://board/~/venv/bin/python", "titanxp"),
        ("cmd:docker exec -i box python3#gpu1", "cmd:docker exec -i box python3", "gpu1"),
        ("cmd:sh -c 'python3 # a comment'", "cmd:sh -c 'python3 # a comment'", "cpu"),
    ],
)
def test_a_device_of_the_machine(text: str, machine: str, device: str) -> None:
    address = parse_address(text)
    assert (address.text, address.machine, address.on_machine) == (text, machine, device)
    assert address.command == parse_address(machine).command


def test_the_ssh_command_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NASTOOL_SSH", "ssh -F 'my config'")
    assert parse_address("ssh://pi").command[:3] == ("ssh", "-F", "my config")


@pytest.mark.parametrize(
    "text",
    [
        "ssh://",
        "ssh://-oProxyCommand=touch",
        "ssh://a b",
        "ssh://user:secret@host",
        "ssh://host:port",
        "ssh://-l@host",
        "ssh://host/python3;reboot",
        "ssh://host/$(reboot)",
        "cmd:",
        "cmd:'",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UnknownDevice, match=r"Write it as") as caught:
        parse_address(text)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(("text", "remote"), [("cpu", False), ("ssh://a", True), ("cmd:a", True), ("titanxp", False)])
def test_remote_devices_have_a_prefix(text: str, remote: bool) -> None:
    assert is_remote(text) is remote
