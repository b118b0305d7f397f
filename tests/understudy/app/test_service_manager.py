"""What the service manager is told, over a real socket."""

import socket
from pathlib import Path

import pytest

from tests.rigs.process import started
from understudy.app.service_manager import READY, STOPPING, VARIABLE, notify


def manager(address: str) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listening.settimeout(60)
    listening.bind(address)
    return listening


async def test_a_server_says_once_when_it_is_ready_and_that_it_stops(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with manager(address) as listening:
        environment = {"UNDERSTUDY_SECRET": "s" * 32, VARIABLE: address}
        async with started(tmp_path / "data", loads=True, **environment) as server:
            assert listening.recv(100).decode() == READY
            assert await server.terminate() == 0
        listening.setblocking(False)
        assert listening.recv(100).decode() == STOPPING
        with pytest.raises(BlockingIOError):
            listening.recv(100)


def test_a_socket_in_the_abstract_namespace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = f"understudy{tmp_path}"
    with manager(f"\0{name}") as listening:
        monkeypatch.setenv(VARIABLE, f"@{name}")
        notify(READY)
        assert listening.recv(100).decode() == READY


@pytest.mark.parametrize("address", ["", "elsewhere", "/no/such/socket", "@nobody-listens"])
def test_a_manager_that_does_not_listen_is_none(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv(VARIABLE, address)
    notify(READY)
