"""The addresses that a server listens on, as clients of both families find them."""

import socket
from pathlib import Path

import pytest
import trio

from understudy.app.listening import open_listeners
from understudy.app.settings import Settings

SECRET = "a secret of thirty-two characters"


def settings(tmp_path: Path, host: str, port: int = 0) -> Settings:
    return Settings(host=host, port=port, data_dir=tmp_path, secret=SECRET)


async def test_every_address_is_one_of_both_families(tmp_path: Path) -> None:
    opened = await open_listeners(settings(tmp_path, "::"))
    port = opened[0].socket.getsockname()[1]
    for host in ("::1", "127.0.0.1"):
        async with await trio.open_tcp_stream(host, port):
            pass
    for listener in opened:
        await listener.aclose()
    opened = await open_listeners(settings(tmp_path, "::", port))
    assert {bound.socket.getsockname()[1] for bound in opened} == {port}
    for listener in opened:
        await listener.aclose()


@pytest.mark.parametrize(("host", "families"), [("127.0.0.1", {socket.AF_INET}), ("::1", {socket.AF_INET6})])
async def test_any_other_address_is_one(tmp_path: Path, host: str, families: set[int]) -> None:
    opened = await open_listeners(settings(tmp_path, host))
    assert {bound.socket.family for bound in opened} == families
    for listener in opened:
        await listener.aclose()


async def test_a_port_in_use_of_either_family_is_an_error(tmp_path: Path) -> None:
    with socket.create_server(("0.0.0.0", 0)) as socket_in_use:
        in_use = settings(tmp_path, "::", socket_in_use.getsockname()[1])
        with pytest.raises(OSError, match=r"(?i)in use"):
            await open_listeners(in_use)
    for listener in await open_listeners(in_use):
        await listener.aclose()
