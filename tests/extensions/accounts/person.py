"""A person who joins by an invite and signs in with a password."""

from functools import partial
from typing import Any

import httpx
import trio
from attrs import define
from click.testing import CliRunner

from understudy.cli.main import main

GOOD = "tree sky blue lamp"
ON = {"UNDERSTUDY_ACCOUNTS_ENABLED": "true"}


async def command(*arguments: str) -> str:
    result = await trio.to_thread.run_sync(partial(CliRunner(env=ON).invoke, main, list(arguments)))
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def invite_in(link: str) -> str:
    address, _, invite = link.partition("/join#")
    assert address.startswith("http://127.0.0.1:")
    return invite


@define
class Person:
    """A person at a browser: requests without cookies."""

    address: str
    token: str = ""

    async def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        return await self.send("POST", path, body, headers)

    async def send(self, method: str, path: str, body: Any, headers: dict[str, str]) -> httpx.Response:
        async with httpx.AsyncClient(timeout=60, verify=False) as http:  # no TLS here, whose certificates take long
            return await http.request(method, f"{self.address}{path}", json=body, headers=headers)

    async def join(self, invite: str, password: str = GOOD) -> dict[str, Any]:
        return self._entered(await self.post("/auth/join", {"invite": invite, "password": password}))

    async def sign_in(self, name: str, password: str = GOOD) -> dict[str, Any]:
        return self._entered(await self.post("/auth/password", {"name": name, "password": password}))

    def _entered(self, answer: httpx.Response) -> dict[str, Any]:
        body: dict[str, Any] = answer.json()
        assert answer.status_code == 201, body
        self.token = body["session_token"]
        return body

    async def me(self) -> httpx.Response:
        return await self.send("GET", "/api/me", None, {"Authorization": f"Bearer {self.token}"})

    async def until_refused(self) -> None:
        while (await self.me()).status_code == 200:  # noqa: ASYNC110 (another process's file is polled for)
            await trio.sleep(0.1)
