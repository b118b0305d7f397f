"""A stock OpenID provider (npm's `oidc-provider`) as a process, and a browser without a page.

`python -m tests.servers.openid ADDRESS FOLDER` runs the provider for the server at this address, and prints its issuer.
"""

import json
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import urljoin

import httpx
import trio
from attrs import define, field

from tests.servers.needed import free_port
from tests.servers.npm import install, listening

STOCK = Path(__file__).resolve().parents[1] / "stock_oidc"
CLIENT_ID = "chat"
CLIENT_SECRET = "a secret of this test's client"


@define
class OpenIdProvider:
    """The running provider. `accounts` are the claims of its users by their `sub`."""

    issuer: str
    accounts: dict[str, dict[str, Any]] = field(factory=dict)

    async def control(self, **state: Any) -> None:
        """Say who sits at the browser (`user`, None: somebody who does not consent), and who exists (`accounts`)."""
        async with httpx.AsyncClient(verify=False) as http:
            await http.post(f"{self.issuer}/control", json=state)


@define
class Browser:
    """Has cookies and a token, follows redirects, and runs no scripts."""

    address: str
    http: httpx.AsyncClient = field(factory=lambda: httpx.AsyncClient(timeout=60, verify=False))
    token: str = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def go(self, path: str, until: str = "") -> httpx.Response:
        """Go to an address and on to where it leads, up to an address that begins with `until`."""
        url = urljoin(self.address, path)
        for _ in range(20):
            answer = await self.http.get(url)
            if answer.status_code not in (302, 303):
                return answer
            url = urljoin(url, answer.headers["location"])
            if (until and url.startswith(until)) or url.startswith(f"{self.address}/#") or url == f"{self.address}/":
                return answer
        raise AssertionError("it leads on for ever")

    async def come_back(self, callback: str) -> httpx.Response:
        """Come back from the provider."""
        return await self.http.get(callback)

    async def take_token(self) -> dict[str, Any]:
        """Ask for the token, as the page does when it has none; return the answer."""
        answer = await self.http.post(f"{self.address}/api/sessions")
        answered: dict[str, Any] = answer.json()
        self.token = answered.get("session_token", "")
        return answered

    async def sign_in(self, leads_to: str = "/") -> dict[str, Any]:
        """Sign in, as a user at the page; return the session."""
        answer = await self.go(f"/auth/sign-in?next={leads_to}")
        assert answer.status_code == 303, answer.text
        answered = await self.take_token()
        assert self.token, answered
        return answered

    async def api(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Send a request of the page."""
        return await self.http.request(
            method, f"{self.address}{path}", headers={"Authorization": f"Bearer {self.token}"}, **more
        )

    async def renew(self) -> httpx.Response:
        """Renew the token, as the page does before it expires."""
        answer = await self.api("POST", "/api/sessions/refresh")
        if answer.status_code == 200:
            self.token = answer.json()["session_token"]
        return answer

    async def me(self) -> dict[str, Any]:
        """Ask who this is."""
        answered: dict[str, Any] = (await self.api("GET", "/api/me")).json()
        return answered

    async def confirm_logout(self, url: str) -> httpx.Response:
        """Sign out at the provider: go to its page, and confirm."""
        page = await self.http.get(url)
        xsrf = re.search(r'name="xsrf" value="(\w+)"', page.text)
        assert xsrf is not None, page.text
        action = urljoin(url, "/session/end/confirm")
        return await self.http.post(action, data={"xsrf": xsrf[1], "logout": "yes"})


@asynccontextmanager
async def provider_for(address: str, folder: Path) -> AsyncIterator[OpenIdProvider]:
    """Run the provider, of which the server at this address is a client."""
    home, port = install(STOCK, folder / "oidc"), free_port()
    client = {
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "redirect_uris": [f"{address}/auth/callback"],
        "post_logout_redirect_uris": [f"{address}/"],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "backchannel_logout_uri": f"{address}/auth/back-channel-logout",
        "backchannel_logout_session_required": True,
    }
    async with listening(port, str(home / "provider.mjs"), CLIENT=json.dumps(client)):
        yield OpenIdProvider(f"http://127.0.0.1:{port}")


async def main(address: str, folder: Path) -> None:
    """Serve until this process is ended, and print the issuer."""
    async with provider_for(address, folder) as provider:
        print(provider.issuer, flush=True)
        await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(main, sys.argv[1], Path(sys.argv[2]))
