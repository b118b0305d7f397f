"""Addresses of Redis: every form leads to its place, and what would count for nothing is refused."""

from pathlib import Path
from urllib.parse import quote

import pytest
import trio
import trustme

from tests.extensions.nodes.carriers import ONE, ByRedis, listening
from tests.extensions.nodes.redis_link import SOON_S, linked
from tests.servers.needed import free_port
from tests.servers.redis import Redis
from understudy.extensions.nodes.redis import RedisLink
from understudy.extensions.nodes.redis_wakeups import RedisWakeups


@pytest.mark.parametrize(
    ("url", "words"),
    [
        *((f"redis://{place}", "must be redis://HOST:PORT, .*%23.*several hosts are not") for place in (
            ":hush-hush@host:port/0", ":hush-hush@host/name", ":hush-hush@host:0", ":hush-hush@/1", ":hush-hush@[::1/1",
            ":hush/hush@host", ":hush-#hush@host", "me:1?hush=hush@host", ":hush-hush@a:1,b:2/0", ":hush-hush@a,b", "",
        )),
        *((url, "must be redis://HOST:PORT") for url in (
            "redis+sentinel://:hush-hush@host/0", "host:6379", "unix://run/redis.sock", "unix://", "unix:///",
        )),
        ("redis://:hush-hush@host:65536", "Port out of range"),
        ("redis://host?password=hush-hush", "'password', or its value, in vain: redis:// takes none"),
        ("unix:///redis.sock?db=1&db=2", "'db', or its value, in vain: .*, once"),
        ("unix:///redis.sock?db=x", "'db', or its value"),
        ("redis://host?ssl_cert_reqs=none", "'ssl_cert_reqs', .* redis:// takes none"),
        ("rediss://host?ssl_cert_reqs=perhaps", r"ssl_ca_certs=FILE, .*, ssl_cert_reqs=required\|optional\|none"),
        ("rediss://host?ssl_keyfile=k.pem", "both ssl_certfile and ssl_keyfile"),
        ("rediss://:hush-hush@host?ssl_ca_certs=/nowhere.pem", "/nowhere.pem. cannot be used: No such file"),
        ("rediss://:hush-hush@host?ssl_certfile=/nowhere&ssl_keyfile=/nowhere", "/nowhere. cannot be used: No such"),
    ],
)  # fmt: skip
def test_an_address_is_refused_with_the_option_that_would_count_for_nothing(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as refused:
        RedisLink(url)
    assert str(refused.value).startswith(("nodes.redis_url ", "a file of nodes.redis_url "))
    assert not [part for part in ("hush", "-#") if part in str(refused.value)]


async def test_every_form_of_an_address_leads_to_the_place_it_names(tmp_path: Path) -> None:
    """A socket, TLS with names and certificates, and TCP each lead to their own database."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    for name, issued in (("server", authority.issue_cert("localhost")), ("client", authority.issue_cert("client"))):
        issued.cert_chain_pems[0].write_to_path(str(tmp_path / f"{name}.pem"))
        issued.private_key_pem.write_to_path(str(tmp_path / f"{name}.key"))
    socket, tls = tmp_path / "a b.sock", free_port()
    files = {"tls-cert-file": "server.pem", "tls-key-file": "server.key", "tls-ca-cert-file": "ca.pem"}
    options = [word for name, file in files.items() for word in (f"--{name}", str(tmp_path / file))]
    server = Redis(tmp_path / "redis", "--unixsocket", str(socket), "--tls-port", str(tls), *options, password="x/y")
    server.start()
    try:
        assert server.command("ACL", "SETUSER", "ann@x", "on", ">a/b:c", "+@all", "~*", "&*") == "+OK"
        ours = f"ssl_ca_certs={tmp_path}/ca.pem&ssl_certfile={tmp_path}/client.pem&ssl_keyfile={tmp_path}/client.key"
        other = ours.partition("&")[2] + "&ssl_cert_reqs=none"
        places = {
            f"unix://:x%2Fy@{quote(str(socket))}?db=2": (b"default", 2, str(socket)),
            f"redis://:x%2Fy@127.0.0.1:{server.port}/3": (b"default", 3, f"127.0.0.1:{server.port}"),
            f"redis://ann%40x:a%2Fb%3Ac@127.0.0.1:{server.port}/4/": (b"ann@x", 4, f"127.0.0.1:{server.port}"),
            f"unix://ann%40x:a%2Fb%3Ac@{quote(str(socket))}": (b"ann@x", 0, None),
            f"rediss://:x%2Fy@localhost:{tls}/5?{ours}": (b"default", 5, f"localhost:{tls}"),
            f"rediss://:x%2Fy@127.0.0.1:{tls}/6?{ours}&ssl_check_hostname=false": (b"default", 6, None),
            f"rediss://:x%2Fy@127.0.0.1:{tls}/7?{other}": (b"default", 7, None),
            f"rediss://:x%2Fy@127.0.0.1:{tls}?{ours}": None,  # another name than the certificate's
            f"rediss://:x%2Fy@localhost:{tls}?{ours.partition('&')[2]}": None,  # an authority that is not trusted
        }
        for url, expected in places.items():
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
                    async with listening(ByRedis(server, RedisWakeups(link)), ONE) as ear:
                        await ear.wakeups.publish([(ONE, "heard")])
                        assert await ear.has(1) == [(ONE, "heard")]
    finally:
        server.kill()
