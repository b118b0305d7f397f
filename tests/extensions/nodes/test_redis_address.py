"""Addresses of Redis: every form leads to its place, and what would count for nothing is refused."""

from pathlib import Path
from urllib.parse import quote

import pytest
import trio
import trustme

from tests.extensions.nodes.test_redis import SOON_S, linked
from tests.servers.needed import free_port
from tests.servers.redis import Redis
from understudy.extensions.nodes.redis import RedisLink


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://:hush-hush@host:port/0", "must be redis://HOST:PORT"),
        ("redis://:hush-hush@host/name", "must be redis://HOST:PORT"),
        ("redis://:hush-hush@host:0", "must be redis://HOST:PORT"),
        ("redis://:hush-hush@/1", "names no host"),
        ("redis://:hush-hush@[::1/1", "must be redis://HOST:PORT"),
        ("redis://:hush/hush@host", "must be redis://HOST:PORT"),
        ("redis://:hush-#hush@host", "%23"),
        ("redis://me:1?hush=hush@host", "%3F"),
        ("redis://:hush-hush@a:1,b:2/0", "several hosts"),
        ("redis://:hush-hush@a,b", "several"),
        ("redis+sentinel://:hush-hush@host/0", "'redis\\+sentinel'"),
        ("host:6379", "must be redis://HOST:PORT"),
        ("redis://host?db=1&password=hush-hush", "'password': both stand before the host"),
        ("unix:///redis.sock?username=me", "'username': both stand before the host"),
        ("redis://:hush-hush@host/1?db=2", "names two databases"),
        ("redis://host?db=1&db=2", "'db' 2 times"),
        ("redis://host?db=", "'db' with a value"),
        ("redis://host?db=x", "NUMBER"),
        ("redis://host?db=1&health_check_interval=10", "'health_check_interval', which is not supported: db, "),
        ("redis://host?ssl=true", "'ssl', which is not supported"),
        ("redis://host?ssl_cert_reqs=none", "'ssl_cert_reqs' without TLS"),
        ("rediss://host?ssl_cert_reqs=perhaps", "needs required, optional, none"),
        ("rediss://host?ssl_keyfile=k.pem", "without 'ssl_certfile'"),
        ("rediss://host?ssl_ca_certs=/nowhere.pem", "/nowhere.pem, cannot be used: No such file"),
        ("rediss://host?ssl_certfile=/nowhere.pem", "/nowhere.pem, cannot be used: No such file"),
        ("unix://run/redis.sock", "three slashes"),
        ("unix://", "three slashes"),
    ],
)
def test_an_address_is_refused_with_the_option_that_would_count_for_nothing(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as refused:
        RedisLink(url)
    assert str(refused.value).startswith(("redis.url ", "ssl_"))
    assert not [part for part in ("hush", "-#") if part in str(refused.value)]


async def test_every_form_of_an_address_leads_to_the_place_it_names(tmp_path: Path) -> None:
    """Over a socket, TLS (with names and certificates as the options say) and TCP, each to its own database."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    for name, issued in (("server", authority.issue_cert("localhost")), ("client", authority.issue_cert("client"))):
        issued.cert_chain_pems[0].write_to_path(str(tmp_path / f"{name}.pem"))
        issued.private_key_pem.write_to_path(str(tmp_path / f"{name}.key"))
    socket, tls = tmp_path / "a b.sock", free_port()
    files = {"tls-cert-file": "server.pem", "tls-key-file": "server.key", "tls-ca-cert-file": "ca.pem"}
    options = [word for name, file in files.items() for word in (f"--{name}", str(tmp_path / file))]
    server = Redis(tmp_path / "redis", "--unixsocket", str(socket), "--tls-port", str(tls), *options)
    server.start()
    try:
        assert server.command("ACL", "SETUSER", "ann@x", "on", ">a/b:c", "allcommands", "allkeys") == "+OK"
        ours = f"ssl_ca_certs={tmp_path}/ca.pem&ssl_certfile={tmp_path}/client.pem&ssl_keyfile={tmp_path}/client.key"
        other = ours.partition("&")[2] + "&ssl_cert_reqs=none"
        found = {
            f"unix://{quote(str(socket))}?db=2": (b"default", 2, str(socket)),
            f"redis://127.0.0.1:{server.port}?db=3": (b"default", 3, f"127.0.0.1:{server.port}"),
            f"valkey://ann%40x:a%2Fb%3Ac@127.0.0.1:{server.port}/4/": (b"ann@x", 4, f"127.0.0.1:{server.port}"),
            f"unix://ann%40x:a%2Fb%3Ac@{quote(str(socket))}": (b"ann@x", 0, None),
            f"rediss://localhost:{tls}/5?{ours}": (b"default", 5, f"localhost:{tls}"),
            f"rediss://127.0.0.1:{tls}/6?{ours}&ssl_check_hostname=false": (b"default", 6, None),
            f"rediss://127.0.0.1:{tls}/7?{other}": (b"default", 7, None),
            f"rediss://127.0.0.1:{tls}?{ours}": None,  # another name than the certificate's
            f"rediss://localhost:{tls}?{ours.partition('&')[2]}": None,  # an authority that is not trusted
        }
        for url, expected in found.items():
            async with linked(url) as link:
                with trio.move_on_after(SOON_S if expected else 0.5):
                    await link.wait_up()
                assert link.up is (expected is not None), url
                if expected is not None:
                    assert await link.call(lambda client: client.acl_whoami()) == expected[0]
                    assert f"db{expected[1]}" not in await link.call(lambda client: client.info("keyspace"))
                    await link.call(lambda client: client.set("here", "1"))
                    assert f"db{expected[1]}" in await link.call(lambda client: client.info("keyspace"))
                    assert expected[2] in (None, link.where)
    finally:
        server.kill()
