"""Users who sign in at a stock OpenID provider: PKCE is required, and its refresh tokens are used once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from typed_settings import SecretStr

from tests.rigs.chat_client import connected
from tests.rigs.server_pair import SECRET
from tests.servers.needed import free_port
from tests.servers.openid import CLIENT_ID, CLIENT_SECRET, Browser, OpenIdProvider, provider_for
from tests.servers.postgresql import Postgres
from tests.servers.redis import Redis
from understudy.extensions.audit.storage import AuditFilter, entries
from understudy.extensions.nodes.settings import NodeSettings
from understudy.extensions.openid import storage as provider_sessions
from understudy.extensions.openid.settings import OpenIdSettings
from understudy.storage.owners import owner_of
from understudy.storage.read_pool import Archive

pytestmark = [
    pytest.mark.needs("npm"),
    pytest.mark.filterwarnings("ignore:Async generator '(httpx2|httpcore):ResourceWarning"),
]
ANN = {"name": "Ann Other", "email": "ann@example.org", "groups": ["staff"], "roles": ["operator"]}


def own_settings(provider: OpenIdProvider, **more: Any) -> dict[type[Any], Any]:
    """Return the settings of a server whose users sign in at this provider."""
    settings = OpenIdSettings(provider.issuer, CLIENT_ID, SecretStr(CLIENT_SECRET), recheck_s=10, **more)
    return {OpenIdSettings: settings}


@asynccontextmanager
async def signing_in(
    serve: Any, folder: Path, title: str = "", **settings: Any
) -> AsyncIterator[tuple[Any, OpenIdProvider, Browser]]:
    port = free_port()
    async with provider_for(f"http://127.0.0.1:{port}", folder) as provider:
        running = await serve(port=port, own=own_settings(provider, title=title), **settings)
        await provider.control(user="ann", accounts={"ann": ANN})
        async with Browser(running.address) as browser:
            yield running, provider, browser


async def due() -> None:
    """Wait until a token has used a tenth of its life: before, it is not renewed."""
    await trio.sleep(1.2)


async def test_a_user_signs_in_and_is_who_the_provider_says(serve: Any, tmp_path: Path) -> None:
    with trio.fail_after(120):
        async with signing_in(serve, tmp_path, title="Example") as (running, _, browser):
            sign_in_form = (await browser.http.get(f"{running.address}/auth")).json()
            assert sign_in_form == {"by": "openid", "provider": {"title": "Example", "url": "/auth/sign-in"}}
            answer = await browser.go("/auth/sign-in?next=/%23thread")
            assert (answer.status_code, answer.headers["location"]) == (303, "/#thread")
            session = await browser.take_token()
            assert (session["user"], session["anonymous"]) == ("ann", False)
            me = await browser.me()
            assert (me["user"], me["name"], me["groups"], me["roles"]) == ("ann", "Ann Other", ["staff"], ["operator"])
            assert len(await running.store.read(provider_sessions.of_owner, "ann")) == 1
            assert (await browser.http.post(f"{running.address}/api/sessions")).status_code == 401
            assert all("eyJ" not in str(response.url) for response in (answer, *answer.history))


async def test_a_renewal_brings_the_roles_and_groups_of_now(serve: Any, tmp_path: Path) -> None:
    """Two tabs renew with the same token at once: the provider is asked once, as its refresh token is used once."""
    with trio.fail_after(120):
        async with signing_in(serve, tmp_path) as (_, provider, browser):
            await browser.sign_in()
            await provider.control(accounts={"ann": ANN | {"groups": ["people"], "roles": []}})
            await due()
            old, answers = browser.token, []

            async def tab() -> None:
                answers.append(await browser.api("POST", "/api/sessions/refresh"))

            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(tab)
            assert [answer.status_code for answer in answers] == [200] * 3
            for answer in answers:
                browser.token = answer.json()["session_token"]
                me = await browser.me()
                assert (me["groups"], me["roles"], me["name"]) == (["people"], [], "Ann Other")
            assert browser.token != old
            await due()
            assert (await browser.renew()).status_code == 200  # the last refresh token is the one that is kept


async def test_who_is_removed_at_the_provider_is_signed_out(serve: Any, tmp_path: Path) -> None:
    with trio.fail_after(120):
        async with signing_in(serve, tmp_path) as (running, provider, browser):
            await browser.sign_in()
            async with connected(running.address, browser.token) as client:
                await provider.control(accounts={})
                await due()
                answer = await browser.renew()
                assert (answer.status_code, answer.json()["error"]["code"]) == (401, "token_expired")
                assert "sign in again" in answer.json()["error"]["message"]
                assert await client.until_closed() == 4401
            assert (await browser.api("GET", "/api/me")).status_code == 401
            assert (await browser.renew()).status_code == 401
            assert await running.store.read(provider_sessions.of_owner, "ann") == []
            answer = await browser.go("/auth/sign-in")
            assert answer.status_code >= 400


@pytest.mark.proof("timing")
async def test_an_expired_token_is_renewed_by_the_provider_only_and_only_the_latest(serve: Any, tmp_path: Path) -> None:
    """A computer has slept: its token opens nothing, but asks the provider. One that was replaced long ago does not."""
    with trio.fail_after(180):
        async with signing_in(serve, tmp_path) as (_, _, browser):
            await browser.sign_in()
            tokens = [browser.token]
            for _ in range(5):
                await due()
                assert (await browser.renew()).status_code == 200
                tokens.append(browser.token)
            while (await browser.api("GET", "/api/me")).status_code == 200:  # noqa: ASYNC110 (a clock is waited for)
                await trio.sleep(1)
            browser.token = tokens[0]
            assert (await browser.renew()).status_code == 401
            browser.token = tokens[-1]
            assert (await browser.api("GET", "/api/me")).json()["error"]["code"] == "token_expired"
            assert (await browser.renew()).status_code == 200
            assert (await browser.me())["user"] == "ann"


async def test_signing_out_ends_the_session_here_and_there(serve: Any, tmp_path: Path) -> None:
    with trio.fail_after(120):
        async with signing_in(serve, tmp_path) as (running, provider, browser), Browser(running.address) as other:
            await browser.sign_in()
            await other.sign_in()
            url = (await browser.api("POST", "/auth/sign-out", json={"everywhere": True})).json()["url"]
            assert url.startswith(f"{provider.issuer}/session/end?id_token_hint=")
            for visitor in (browser, other):
                assert (await visitor.api("GET", "/api/me")).status_code == 401
                assert (await visitor.renew()).status_code == 401
            assert await running.store.read(provider_sessions.of_owner, "ann") == []
            assert (await browser.confirm_logout(url)).headers["location"] == f"{running.address}/"
            await browser.sign_in()
            await other.sign_in()
            assert (await browser.api("POST", "/auth/sign-out", json={})).status_code == 200
            assert (await browser.api("GET", "/api/me")).status_code == 401
            assert (await other.me())["user"] == "ann"
            assert (await other.api("DELETE", "/api/sessions")).status_code == 204
            assert await running.store.read(provider_sessions.of_owner, "ann") == []


async def test_signing_out_at_the_provider_ends_the_session_here(serve: Any, tmp_path: Path) -> None:
    with trio.fail_after(120):
        async with signing_in(serve, tmp_path) as (running, provider, browser), Browser(running.address) as other:
            await browser.sign_in()
            await other.sign_in()
            async with connected(running.address, browser.token) as client:
                await browser.confirm_logout(f"{provider.issuer}/session/end")
                assert await client.until_closed() == 4401
            assert (await browser.api("GET", "/api/me")).status_code == 401
            assert (await other.me())["user"] == "ann"
            rows = await Archive(running.store.database).read(entries, AuditFilter(user="ann"), 2**62, 10)
            assert [row.action for row in rows] == ["sessions.ended", "sessions.begun", "sessions.begun"]
            assert {(row.way, row.who, row.target) for row in rows} == {("provider", "ann", "ann")}


async def test_an_answer_counts_once_and_in_the_browser_that_began(serve: Any, tmp_path: Path) -> None:
    with trio.fail_after(120):
        async with signing_in(serve, tmp_path) as (running, provider, browser), Browser(running.address) as other:
            callback = f"{running.address}/auth/callback"
            answer = await browser.go("/auth/sign-in", until=callback)
            url = answer.headers["location"]

            async def refused(where: Browser, address: str) -> str:
                answer = await where.come_back(address)
                assert answer.status_code in (403, 404), answer.text
                assert "<small>" in answer.text
                assert (await where.take_token()).get("session_token") is None
                return answer.text

            assert "another browser" in await refused(other, url)
            assert "another browser" in await refused(browser, url.replace("state=", "state=x"))
            second = (await browser.go("/auth/sign-in", until=callback)).headers["location"]
            codes = [httpx.URL(link).params["code"] for link in (url, second)]
            assert "refused there" in await refused(browser, second.replace(codes[1], codes[0]))  # another's verifier
            third = (await browser.go("/auth/sign-in", until=callback)).headers["location"]
            issuer = str(httpx.URL(third).copy_merge_params({"iss": "http://127.0.0.1:1"}))
            assert "another server" in await refused(browser, issuer)
            fourth = (await browser.go("/auth/sign-in", until=callback)).headers["location"]
            assert "another server" in await refused(browser, str(httpx.URL(fourth).copy_remove_param("iss")))
            assert (
                await browser.come_back((await browser.go("/auth/sign-in", until=callback)).headers["location"])
            ).status_code == 303
            assert (await browser.take_token())["user"] == "ann"
            last = (await other.go("/auth/sign-in", until=callback)).headers["location"]
            cookies = dict(other.http.cookies)
            assert (await other.come_back(last)).status_code == 303
            await other.take_token()
            other.http.cookies.update(cookies)
            assert "refused there" in await refused(other, last)  # with the cookie that was deleted: the code is spent
            await provider.control(user=None)
            async with Browser(running.address) as third_browser:
                answer = await third_browser.go("/auth/sign-in")
                assert (answer.status_code, "was not allowed" in answer.text) == (403, True)


async def test_a_sign_in_leads_to_paths_of_this_server_only(serve: Any, tmp_path: Path) -> None:
    with trio.fail_after(120):
        async with signing_in(serve, tmp_path) as (running, _, browser):
            for path in ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "/\tx"):
                answer = await browser.http.get(f"{running.address}/auth/sign-in", params={"next": path})
                assert (answer.status_code, "location" in answer.headers) == (400, False), path


async def test_tenants_are_of_the_provider(serve: Any, tmp_path: Path) -> None:
    """Users of one name in two tenants differ, and one that changes tenants signs in again."""
    with trio.fail_after(120):
        async with signing_in(serve, tmp_path, tenant_claim="tenant") as (running, provider, browser):
            await provider.control(accounts={"ann": ANN | {"tenant": "acme"}})
            await browser.sign_in()
            assert (await browser.me())["tenant"] == "acme"
            assert len(await running.store.read(provider_sessions.of_owner, owner_of("ann", "acme"))) == 1
            await due()
            assert (await browser.renew()).status_code == 200
            await provider.control(accounts={"ann": ANN | {"tenant": "other"}})
            await due()
            assert (await browser.renew()).status_code == 401


async def test_what_is_stored_and_exported_shows_no_token(serve: Any, tmp_path: Path) -> None:
    with trio.fail_after(120):
        async with signing_in(serve, tmp_path) as (running, _, browser):
            await browser.sign_in()
            (row,) = await running.store.read(provider_sessions.of_owner, "ann")
            assert b"eyJ" not in row.sealed
            assert b"refresh" not in row.sealed
            assert (await browser.api("DELETE", "/api/me", json={"confirm": "ann"})).status_code in (200, 404)


async def test_any_node_answers_any_part_of_a_sign_in(
    serve: Any, tmp_path: Path, postgres: Postgres, template: str, redis: Redis
) -> None:
    redis.flush()
    ports = free_port(), free_port()
    public = f"http://127.0.0.1:{ports[0]}"
    with trio.fail_after(180):
        async with provider_for(public, tmp_path) as provider:
            shared = {
                "database_url": postgres.create(template), "secret": SECRET, "public_url": public,
                "own": own_settings(provider) | {NodeSettings: NodeSettings(redis.url)},
            }  # fmt: skip
            a, b = [
                await serve(port=port, data_dir=tmp_path / name, **shared)
                for port, name in zip(ports, "ab", strict=True)
            ]
            await provider.control(user="ann", accounts={"ann": ANN})
            async with Browser(a.address) as browser:
                callback = (await browser.go("/auth/sign-in", until=f"{a.address}/auth/callback")).headers["location"]
                browser.address = b.address  # as a proxy does that spreads requests
                assert (await browser.come_back(callback.replace(a.address, b.address))).status_code == 303
                browser.address = a.address
                assert (await browser.take_token())["user"] == "ann"
                browser.address = b.address
                await due()
                assert (await browser.renew()).status_code == 200
                async with connected(b.address, browser.token) as client:
                    await provider.control(accounts={})
                    browser.address = a.address
                    await due()
                    assert (await browser.renew()).status_code == 401
                    assert await client.until_closed() == 4401
                browser.address = b.address
                assert (await browser.api("GET", "/api/me")).status_code == 401
