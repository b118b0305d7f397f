"""Who runs the server on a loopback address is its operator; a socket of anybody else, or of a proxy, is not."""

import io
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from understudy.auth import local_user
from understudy.auth.local_user import local_roles, owner_of_socket

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux says who owns a socket")


DIRECT = (
    "host", "connection", "accept", "accept-encoding", "accept-language", "authorization", "cache-control",
    "content-length", "content-type", "cookie", "dnt", "if-none-match", "origin", "pragma", "priority", "referer",
    "sec-ch-ua", "sec-ch-ua-platform", "sec-fetch-mode", "sec-websocket-key", "sec-websocket-protocol",
    "traceparent", "upgrade", "upgrade-insecure-requests", "user-agent", "x-requested-with", "x-stainless-lang",
    "x-request-id", "proxy-connection",
)  # fmt: skip
"""What browsers and clients of APIs send by themselves."""
FORWARDED = (
    "forwarded", "forwarded-for", "x-forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto",
    "x-forwarded-port", "x-forwarded-server", "x-forwarded-ssl", "x-forwarded-prefix", "x-original-forwarded-for",
    "via", "x-real-ip", "x-client-ip", "client-ip", "true-client-ip", "x-cluster-client-ip", "x-remote-ip",
    "x-remote-addr", "x-originating-ip", "cf-connecting-ip", "cf-ray", "cf-visitor", "cdn-loop", "fastly-client-ip",
    "fly-client-ip", "fly-region", "x-amzn-trace-id", "x-amz-cf-id", "x-appengine-user-ip", "x-azure-clientip",
    "x-azure-fdid", "x-arr-log-id", "x-envoy-external-address", "x-original-host", "x-original-url", "x-scheme",
    "x-url-scheme", "x-vercel-forwarded-for", "x-nf-client-connection-ip", "tailscale-user-login", "x-proxyuser-ip",
    "x-proxy-user", "proxy-client-ip", "wl-proxy-client-ip",
)  # fmt: skip


@frozen
class Chosen:
    anonymous: bool = True
    local_operator: bool = True


@pytest.fixture
def pair() -> Any:
    server = socket.create_server(("127.0.0.1", 0))
    with server, socket.create_connection(server.getsockname()) as client, server.accept()[0]:
        yield client.getsockname()[1]


def test_the_owner_of_a_socket_is_found(pair: int) -> None:
    assert owner_of_socket(pair) == os.getuid()
    assert owner_of_socket(1) is None


def test_a_table_that_lacks_the_socket_for_a_moment_is_read_again(pair: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Path("/proc/net/tcp").read_bytes()
    lacking = whole.splitlines(keepends=True)[0]
    reads = iter([lacking, lacking, whole, lacking])

    class Table:
        def open(self, mode: str) -> io.BytesIO:
            return io.BytesIO(next(reads))

    monkeypatch.setattr(local_user, "_TABLES", (Table(),))
    assert owner_of_socket(pair) == os.getuid()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
def test_a_socket_of_another_user_is_theirs() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        connect = f"exec 3<>/dev/tcp/127.0.0.1/{server.getsockname()[1]}; read -t 30 <&3"
        with subprocess.Popen(["/bin/bash", "-c", connect], user=65534, env={}) as stranger:
            accepted, address = server.accept()
            with accepted:
                assert owner_of_socket(address[1]) == 65534
            stranger.wait(timeout=30)


@pytest.mark.parametrize(
    ("settings", "host", "headers", "roles"),
    [
        (Chosen(), "127.0.0.1", {}, ("operator",)),
        (Chosen(anonymous=False), "127.0.0.1", {}, ()),
        (Chosen(local_operator=False), "127.0.0.1", {}, ()),
        (Chosen(), "192.0.2.7", {}, ()),
        (Chosen(), "127.0.0.1", dict.fromkeys(DIRECT, "x"), ("operator",)),
        *((Chosen(), "127.0.0.1", {header: "x"}, ()) for header in FORWARDED),
    ],
)
async def test_only_a_direct_local_connection_is_an_operators(
    pair: int, settings: Chosen, host: str, headers: Mapping[str, str], roles: tuple[str, ...]
) -> None:
    assert await local_roles(settings, (host, pair), headers) == roles


async def test_a_stranger_of_this_machine_is_no_operator(pair: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_user, "owner_of_socket", lambda port: os.getuid() + 1)
    assert await local_roles(Chosen(), ("127.0.0.1", pair), {}) == ()
