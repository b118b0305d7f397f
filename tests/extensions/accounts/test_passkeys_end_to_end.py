"""Passkeys over HTTP, with a software authenticator and the cookies of a browser, on one server and on two nodes."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import trio
from attrs import define, field

from tests.extensions.accounts.person import GOOD, Person, command, invite_in
from tests.rigs.tokens import SECRET
from tests.servers.authenticator import Authenticator
from tests.servers.postgresql import Postgres
from understudy.extensions.accounts.local_accounts import FREE_OF_ADDRESS

pytestmark = [pytest.mark.filterwarnings("ignore:Async generator '(httpx2|httpcore):ResourceWarning")]


@define
class Browser:
    """A browser with an authenticator, at a page of `http://localhost`. `nodes` answer its requests in turn."""

    nodes: list[str]
    device: Authenticator = field(init=False)
    cookies: httpx.Cookies = field(factory=httpx.Cookies)
    headers: dict[str, str] = field(factory=dict)
    requests: int = 0

    def __attrs_post_init__(self) -> None:
        self.device = Authenticator(f"http://localhost:{urlsplit(self.nodes[0]).port}")

    async def send(self, method: str, path: str, body: Any = None) -> httpx.Response:
        node, self.requests = self.nodes[self.requests % len(self.nodes)], self.requests + 1
        headers = {"Host": urlsplit(self.device.origin).netloc, **self.headers}
        async with httpx.AsyncClient(timeout=60, cookies=self.cookies, verify=False) as http:
            answer = await http.request(method, f"{node}/auth/passkeys{path}", json=body, headers=headers)
        cookie = answer.headers.get("Set-Cookie", "")
        if cookie:
            assert "HttpOnly" in cookie
            assert "SameSite=Strict" in cookie
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies = httpx.Cookies({name: value})
        return answer

    async def make(self, path: str, **body: Any) -> httpx.Response:
        options = await self.send("POST", f"{path}/options", {key: body[key] for key in body if key == "invite"})
        assert options.status_code == 200, options.text
        credential = self.device.create(options.json())
        return await self.send("POST", path, body | {"name": "Phone", "credential": credential})

    async def sign_in(self) -> httpx.Response:
        options = await self.send("POST", "/sign-in/options")
        assert options.status_code == 200, options.text
        return await self.send("POST", "/sign-in", {"credential": self.device.get(options.json())})


def entered(answer: httpx.Response, *addresses: str) -> list[Person]:
    assert answer.status_code == 201, answer.text
    return [Person(address, answer.json()["session_token"]) for address in addresses]


async def test_a_server_that_does_not_know_its_address_has_none_for_others(serve: Any) -> None:
    """A request may name any host; a passkey for it would be that host's."""
    with trio.fail_after(60):
        browser = Browser([(await serve(accounts_enabled=True)).address])
        browser.headers = {"Host": "chat.example.org"}
        refused = await browser.send("POST", "/sign-in/options")
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
        assert "public_url" in refused.json()["error"]["message"]


async def test_from_an_invite_to_the_last_passkey(serve: Any, tmp_path: Path) -> None:
    with trio.fail_after(120):
        running = await serve(accounts_enabled=True)
        place = ["--data-dir", str(tmp_path / "data")]
        browser = Browser([running.address])
        invite = invite_in(await command("invite", "ada", "--role", "operator", *place))
        (ada,) = entered(await browser.make("/join", invite=invite), running.address)
        assert (await ada.me()).json()["roles"] == ["operator"]
        assert (await command("accounts", "list", *place)).split("\t")[:2] == ["ada", "active"]
        (ada,) = entered(await browser.sign_in(), running.address)
        browser.headers = {"Authorization": f"Bearer {ada.token}"}
        (phone,) = (await browser.send("GET", "")).json()["passkeys"]
        assert (phone["name"], phone["used_at"] > phone["created_at"]) == ("Phone", True)
        last = await browser.send("DELETE", f"/{phone['id']}")
        assert (last.status_code, last.json()["error"]["code"]) == (403, "forbidden")
        own_device, browser.device = browser.device, Authenticator(browser.device.origin)
        assert (await browser.make("")).status_code == 201
        assert (await browser.send("DELETE", f"/{phone['id']}")).status_code == 204
        assert (await browser.send("DELETE", f"/{phone['id']}")).status_code == 404
        assert (await browser.sign_in()).status_code == 201
        browser.device = own_device
        refused = await browser.sign_in()
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "unauthenticated")
        bearer = {"Authorization": f"Bearer {ada.token}"}
        exported = (await ada.send("GET", "/api/me/export", None, bearer)).json()
        assert ([key["name"] for key in exported["passkeys"]], exported["account"]["password"]) == (["Phone"], False)
        change = {"password": "", "new_password": GOOD}
        assert (await ada.send("PUT", "/auth/password", change, bearer)).status_code == 403
        assert (await ada.send("DELETE", "/api/me", {"confirm": "ada"}, bearer)).status_code == 409
        actions = await command("audit", "--user", "ada", *place)
        for action in ("account.joined", "account.signed_in", "passkey.added", "passkey.removed"):
            assert action in actions


async def test_what_is_no_ceremony_is_refused_with_a_code(serve: Any, tmp_path: Path) -> None:
    with trio.fail_after(120):
        running = await serve(accounts_enabled=True)
        browser = Browser([running.address])
        invite = invite_in(await command("invite", "ada", "--data-dir", str(tmp_path / "data")))
        assert (await browser.make("/join", invite=invite)).status_code == 201
        options = (await browser.send("POST", "/sign-in/options")).json()
        answer, cookies = {"credential": browser.device.get(options)}, browser.cookies
        refusals = list[tuple[int, str]]()
        for browser.cookies in (httpx.Cookies(), cookies, cookies):
            response = await browser.send("POST", "/sign-in", answer)
            refusals.append((response.status_code, response.json().get("error", {}).get("code", "")))
        assert refusals == [(404, "not_found"), (201, ""), (404, "not_found")]
        origin, browser.device.origin = browser.device.origin, "http://localhost:1"
        begun = await Person(running.address).post("/auth/passkeys/sign-in/options", None, Host=urlsplit(origin).netloc)
        browser.cookies = httpx.Cookies({"understudy_passkey": begun.cookies["understudy_passkey"]})
        answer, browser.device.origin = {"credential": browser.device.get(begun.json())}, origin
        elsewhere = await browser.send("POST", "/sign-in", answer)
        assert (elsewhere.status_code, elsewhere.json()["error"]["code"]) == (403, "forbidden")
        numeric = await Person(running.address).post("/auth/passkeys/sign-in/options", None)
        assert (numeric.status_code, numeric.json()["error"]["code"]) == (400, "invalid_command")
        bodies: list[Any] = [None, {}, [], {"credential": None}, {"credential": "x"}, {"credential": []}]
        for body in bodies:
            assert (await browser.send("POST", "/sign-in", body)).status_code == 400, body
        assert (await browser.send("POST", "/sign-in", {"credential": {"x": "y" * 40_000}})).status_code == 413
        for method, path in (("GET", ""), ("POST", ""), ("POST", "/options"), ("DELETE", "/x")):
            assert (await browser.send(method, path, {})).status_code == 401
        for _ in range(10 * FREE_OF_ADDRESS):  # on a slow machine some are free again before the last is used
            last = await browser.send("POST", "/sign-in/options")
            if last.status_code == 429:
                break
        assert (last.status_code, int(last.headers["Retry-After"]) >= 1) == (429, True)
        other = await serve(data_dir=tmp_path / "data-2", secret=SECRET)
        assert (await Browser([other.address]).send("POST", "/sign-in/options")).status_code == 404


async def test_what_one_node_begins_another_ends(serve: Any, tmp_path: Path, postgres: Postgres) -> None:
    with trio.fail_after(180):
        shared = {"database_url": postgres.create(), "secret": SECRET, "accounts_enabled": True}
        nodes = [(await serve(data_dir=tmp_path / name, **shared)).address for name in ("a", "b")]
        place = ["--data-dir", str(tmp_path / "a"), "--database-url", shared["database_url"]]
        browser = Browser(nodes)
        invite = invite_in(await command("invite", "ada", *place))
        entered(await browser.make("/join", invite=invite), *nodes)
        lost = entered(await browser.sign_in(), *nodes)
        for person in lost:
            assert (await person.me()).status_code == 200
        session = entered(await browser.sign_in(), *nodes)
        browser.headers = {"Authorization": f"Bearer {session[0].token}"}
        (phone,) = (await browser.send("GET", "")).json()["passkeys"]
        browser.device = Authenticator(browser.device.origin)
        assert (await browser.make("")).status_code == 201
        assert (await browser.send("DELETE", f"/{phone['id']}")).status_code == 204
        for person in lost:
            await person.until_refused()
        for person in session:
            assert (await person.me()).status_code == 200
