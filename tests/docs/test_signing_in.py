"""The page on signing in: its examples are run against a server."""

import json
import re
import subprocess
import tomllib
from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import trio
from click.testing import CliRunner

from tests.rigs.doc_tables import DOCS
from tests.rigs.documented_server import connected, served
from tests.rigs.http import request
from tests.servers.needed import program
from understudy.app.server import Running
from understudy.app.settings import load
from understudy.cli.main import main
from understudy.extensions.openid.settings import OpenIdSettings

TEXT = (DOCS / "how-to/sign-users-in.md").read_text()
SECRET = "a secret of more than thirty-two bytes"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def test_the_settings_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server with a provider starts on every address, without a secret."""
    _, example = blocks("toml")
    (tmp_path / "understudy.toml").write_text(example)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("UNDERSTUDY_SECRET", raising=False)
    settings, values = load(), tomllib.loads(example)["understudy"]
    assert (settings.jwt.keys, settings.jwt.issuer) == (values["jwt"]["keys"], values["jwt"]["issuer"])
    assert not settings.signs
    assert not settings.anonymous


def test_the_settings_of_a_sign_in_in_the_page_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = dedent(blocks("toml")[0])
    (tmp_path / "understudy.toml").write_text(example)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNDERSTUDY_SECRET", SECRET)
    monkeypatch.setenv("UNDERSTUDY_OIDC_CLIENT_SECRET", "of the client")
    settings, values = load(), tomllib.loads(example)["understudy"]
    openid = settings.of(OpenIdSettings)
    assert (openid.issuer, settings.public_url) == (values["oidc"]["issuer"], values["public_url"])
    assert str(openid.client_secret) == "of the client"
    assert not settings.anonymous


def own_token(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("UNDERSTUDY_SECRET", SECRET)
    namespace: dict[str, Any] = {}
    exec(blocks("python")[0], namespace)
    return str(namespace["token_for"]("ada", "s1"))


async def test_a_newer_token_of_the_same_session_is_taken_on_an_open_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page's code makes it: a client that asks its sign-in again stays connected."""
    async with served(tmp_path, secret=SECRET) as running:
        first = own_token(monkeypatch)
        async with connected(running, first) as peer:
            await peer.send("refresh", session_token=own_token(monkeypatch))
            await peer.send("ping", nonce="n")
            assert (await peer.until("pong"))["data"]["nonce"] == "n"
            assert not [event for event in peer.events if event["type"] == "error"]


async def shell(running: Running, token: str, command: str) -> subprocess.CompletedProcess[bytes]:
    """Run one of the page's commands against a server."""
    words: Sequence[str] = ["sh", "-c", f"{command} -s -o /dev/null -w '%{{http_code}}'"]
    environment = {"TOKEN": token, "SERVER": running.address, "PATH": f"{program('curl').parent}:/usr/bin:/bin"}
    return await trio.run_process(words, capture_stdout=True, env=environment)


@pytest.mark.needs("curl")
async def test_a_token_is_made_renewed_and_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = own_token(monkeypatch)
    renew, end = (block.strip() for block in blocks("sh"))
    async with served(tmp_path, secret=SECRET) as running:
        async with connected(running, token) as peer:
            assert peer.events[0]["data"]["user"] == "ada"
        assert (await shell(running, token, renew)).stdout == b"200"
        assert (await shell(running, token, end)).stdout == b"204"
        assert (await shell(running, token, end)).stdout == b"401"


async def test_two_commands_make_a_server_for_a_team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNDERSTUDY_SECRET", raising=False)
    install, export, serve, invite, link = blocks("console")[0].splitlines()
    extras = tomllib.loads((DOCS.parent / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras["accounts"][0].startswith("argon2-cffi")
    assert install == "$ pip install --find-links ../wheels 'understudy-server[accounts]'"
    for part in export.removeprefix("$ export ").split():
        monkeypatch.setenv(*part.split("=", 1))
    assert serve == "$ understudy serve"
    settings = load()
    async with served(tmp_path, own=settings.own, public_url=settings.public_url) as running:
        result = CliRunner().invoke(main, [*invite.removeprefix("$ understudy ").split(), "--data-dir", str(tmp_path)])
        address, _, token = result.stdout.strip().partition("#")
        shown, _, example = link.partition("#")
        assert (address, len(token)) == (shown, len(example))
        body = json.dumps({"invite": token, "password": "tree sky blue lamp"}).encode()
        status, _, session = await request(running.address, "POST", "/auth/join", body=body)
        assert (status, session["user"]) == (201, "ada")
    load(**{"accounts.enabled": True}, host="0.0.0.0")


async def test_the_commands_make_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNDERSTUDY_SECRET", raising=False)
    async with served(tmp_path) as running:
        for line in blocks("console")[1].splitlines():
            words = line.removeprefix("$ understudy ").split()
            result = CliRunner().invoke(main, [*words, "--data-dir", str(tmp_path)])
            assert result.exit_code == 0, result.output
            async with connected(running, result.stdout.strip()) as peer:
                assert peer.events[0]["data"]["user"] == words[2]
