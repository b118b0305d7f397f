"""Sign-ins at a real authorization server: from the browser's two requests to the tokens."""

import ssl
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import trio
import trustme
from attrs import evolve

from tests.extensions.mcp.oauth.pages import answering, at, metadata
from tests.rigs.mcp_signed_in import BACK, REDIRECT, accounts_in, begun, came_back, ready
from tests.servers.mcp_oauth import Provider
from understudy.extensions.mcp.errors import SignedOut
from understudy.extensions.mcp.oauth import storage as sign_ins
from understudy.extensions.mcp.oauth.flow import finish, start
from understudy.extensions.mcp.oauth.storage import add_start, put_sign_in
from understudy.extensions.oauth.errors import SignInFailed


async def test_a_user_signs_in_and_out(tmp_path: Path) -> None:
    provider = Provider()
    async with ready(tmp_path, provider) as (accounts, server):
        for owner in ("ada", "bob"):
            brought_back = await came_back(await begun(accounts, owner, server))
            assert await finish(accounts, server, brought_back) == (owner, BACK)
        (client,) = provider.clients.values()
        assert client.application_type == "native"  # the way back is a loopback address
        assert len(provider.access) == 2
        tokens = await accounts.tokens("ada", server)
        assert tokens.access in provider.access
        row = await accounts.store.read(sign_ins.sign_in, "ada", "notes")
        assert tokens.access.encode() not in row.sealed
        moved = evolve(server, url=server.url.replace("/mcp", "/other"))
        assert not await accounts.signed_in("ada", moved)  # no token is sent to another address
        await accounts.store.commit(add_start("eve", "eve", b"", 1.0, 0.0))
        await accounts.store.commit(put_sign_in(evolve(row, owner="eve")))
        assert not await accounts.signed_in("eve", server)  # nor is one of another user
        assert await accounts.sign_out("ada", server)
        assert tokens.access not in provider.access
        with pytest.raises(SignedOut):
            await accounts.tokens("ada", server)


async def test_an_answer_that_is_not_of_this_sign_in_is_refused(tmp_path: Path) -> None:
    provider = Provider()
    async with ready(tmp_path, provider) as (accounts, server):
        good = await came_back(await begun(accounts, "ada", server))
        for brought_back, words in (
            (evolve(good, state="made up"), "has expired"),
            (evolve(good, cookie="of another"), "another browser"),
            (good, "finished already"),  # a state is taken once
        ):
            with pytest.raises(SignInFailed, match=words):
                await finish(accounts, server, brought_back)
        other = evolve(server, name="other")
        with pytest.raises(SignInFailed, match="not for this server"):
            await finish(accounts, other, await came_back(await begun(accounts, "ada", server)))
        forged = evolve(await came_back(await begun(accounts, "ada", server)), issuer="https://evil.example")
        with pytest.raises(SignInFailed, match="another server than the one"):
            await finish(accounts, server, forged)
        stolen = (await came_back(await begun(accounts, "bob", server))).code
        for _ in range(2):  # a code of another sign-in does not fit to the verifier; and it was used then
            with pytest.raises(SignInFailed, match="refused there"):
                await finish(
                    accounts, server, evolve(await came_back(await begun(accounts, "ada", server)), code=stolen)
                )
        provider.refuse = True
        with pytest.raises(SignInFailed, match="not allowed"):
            await finish(accounts, server, await came_back(await begun(accounts, "ada", server)))
        assert not await accounts.signed_in("ada", server)


async def test_a_start_expires_and_a_user_has_few(tmp_path: Path) -> None:
    async with ready(tmp_path, Provider()) as (accounts, server):
        old = await came_back(await begun(accounts, "ada", server))
        now = accounts.clock()
        accounts.clock = lambda: now + 601
        with pytest.raises(SignInFailed, match="expired"):
            await finish(accounts, server, old)
        for _ in range(20):
            await begun(accounts, "ada", server)
        with pytest.raises(SignInFailed, match="Too many"):
            await start(accounts, "ada", server, REDIRECT, BACK)


async def test_the_browser_is_asked_with_pkce_and_for_this_resource(tmp_path: Path) -> None:
    async with ready(tmp_path, Provider()) as (accounts, server):
        began = await start(accounts, "ada", evolve(server, client_id="mine"), REDIRECT, BACK)
    query = {name: values[0] for name, values in parse_qs(urlsplit(began.url).query).items()}
    assert query.pop("state")
    assert len(query.pop("code_challenge")) == 43
    assert query == {
        "response_type": "code",
        "client_id": "mine",
        "redirect_uri": REDIRECT,
        "code_challenge_method": "S256",
        "resource": server.url,
        "scope": "notes",
    }
    assert urlsplit(began.url).path == "/authorize"


@pytest.mark.parametrize(
    ("registers", "served", "by_document"), [(True, True, True), (True, False, False), (False, False, True)]
)
async def test_the_document_of_this_server_is_its_id_where_one_is_taken_and_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registers: bool, served: bool, by_document: bool
) -> None:
    """One that cannot be read from outside is named only to those who register nobody."""
    authority, tls = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))

    async def serve(stream: trio.SSLStream[trio.SocketStream]) -> None:
        head = await stream.receive_some()
        is_document = served and head.startswith(b"GET /api/mcp/notes/client.json ")
        await stream.send_all(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % (200 if is_document else 404))
        await trio.aclose_forcefully(stream)

    pages: dict[str, Any] = {}
    with trio.fail_after(60):
        async with (
            trio.open_nursery() as nursery,
            answering(pages) as (origin, called),
            accounts_in(tmp_path) as accounts,
        ):
            listeners = await trio.open_ssl_over_tcp_listeners(0, tls, host="127.0.0.1", https_compatible=True)
            nursery.start_soon(trio.serve_listeners, serve, listeners)
            here = f"https://127.0.0.1:{listeners[0].transport_listener.socket.getsockname()[1]}/api/mcp/notes"
            endpoint = {"registration_endpoint": f"{origin}/register"} if registers else {}
            pages |= metadata(origin, client_id_metadata_document_supported=True, **endpoint)
            pages["/register"] = {"client_id": "registered", "redirect_uris": [f"{here}/callback"]}
            pages["/register"]["token_endpoint_auth_method"] = "none"
            began = await start(accounts, "ada", at(origin), f"{here}/callback", BACK)
            nursery.cancel_scope.cancel()
    query = parse_qs(urlsplit(began.url).query)
    assert query["client_id"] == [f"{here}/client.json" if by_document else "registered"]
    assert ("/register" in called) is not by_document
