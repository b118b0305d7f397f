"""The page on signing in: its examples are run against a server."""

import re
import subprocess
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio
from click.testing import CliRunner

from tests.docs.served import connected, served
from tests.docs.tables import DOCS
from understudy.app.server import Running
from understudy.app.settings import load
from understudy.cli.main import main

TEXT = (DOCS / "how-to/sign-users-in.md").read_text()
SECRET = "a secret of more than thirty-two bytes"


def blocks(language: str) -> list[str]:
    """Return the page's blocks in a language."""
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def test_the_settings_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server with a provider starts on every address, without a secret."""
    (example,) = blocks("toml")
    (tmp_path / "understudy.toml").write_text(example)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("UNDERSTUDY_SECRET", raising=False)
    settings, given = load(), tomllib.loads(example)["understudy"]
    assert (settings.jwks, settings.jwt_issuer) == (given["jwks"], given["jwt_issuer"])
    assert not settings.signs
    assert not settings.anonymous


def own_token(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a token by the page's own code."""
    monkeypatch.setenv("UNDERSTUDY_SECRET", SECRET)
    namespace: dict[str, Any] = {}
    exec(blocks("python")[0], namespace)
    return str(namespace["token_for"]("ada"))


async def shell(running: Running, token: str, command: str) -> subprocess.CompletedProcess[bytes]:
    """Run one of the page's commands against a server."""
    words: Sequence[str] = ["sh", "-c", f"{command} -s -o /dev/null -w '%{{http_code}}'"]
    environment = {"TOKEN": token, "SERVER": running.address, "PATH": "/usr/bin:/bin"}
    return await trio.run_process(words, capture_stdout=True, env=environment)


@pytest.mark.slow
async def test_a_token_is_made_renewed_and_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = own_token(monkeypatch)
    renew, end = (block.strip() for block in blocks("sh"))
    async with served(tmp_path, secret=SECRET) as running:
        async with connected(running, token) as peer:
            assert peer.events[0]["data"]["user"] == "ada"
        assert (await shell(running, token, renew)).stdout == b"200"
        assert (await shell(running, token, end)).stdout == b"204"
        assert (await shell(running, token, end)).stdout == b"401"


@pytest.mark.slow
async def test_the_commands_make_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNDERSTUDY_SECRET", raising=False)
    async with served(tmp_path) as running:
        for line in blocks("console")[0].splitlines():
            words = line.removeprefix("$ understudy ").split()
            result = CliRunner().invoke(main, [*words, "--data-dir", str(tmp_path)])
            assert result.exit_code == 0, result.output
            async with connected(running, result.stdout.strip()) as peer:
                assert peer.events[0]["data"]["user"] == words[2]
