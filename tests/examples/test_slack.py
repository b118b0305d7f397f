"""The example for Slack, as a process between a server and a stand-in for Slack."""

import hashlib
import hmac
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define, field
from typed_settings import SecretStr

from tests.rigs.doc_tables import ROOT
from tests.rigs.documented_server import served
from tests.rigs.http import request
from tests.rigs.receiver import Receiver
from tests.rigs.scripted_model import Call, Say, scripted
from tests.servers.needed import free_port
from transport.auth.tokens import Tokens
from understudy.agents.agent import Agent
from understudy.app.server import Running
from understudy.extensions.notices import storage as deliveries
from understudy.extensions.notices.settings import WebhookSettings

SIGNING, WEBHOOKS, OWN = "8f742231b10e8888abcd99yyyzzz85a5", "w" * 32, "a secret of more than thirty-two bytes"
FIRST = {"type": "message", "channel": "C1", "user": "U1", "text": "hello", "ts": "1700000000.000100"}


@define
class Slack(Receiver):
    """Takes `chat.postMessage` of the app only. `says` are its first answers; the others are that it is fine."""

    says: list[bytes] = field(factory=list)
    done: int = 200

    def read(self, head: dict[str, str], body: bytes) -> Any:
        assert head["authorization"] == "Bearer xoxb-1"
        return super().read(head, body)

    def say(self) -> bytes:
        return self.says.pop(0) if self.says else b'{"ok": true}'


@define
class Connected:
    """A server, Slack, and the address of the example between them."""

    running: Running
    slack: Slack
    address: str

    async def send(self, payload: dict[str, Any], secret: str = SIGNING, at: float | None = None) -> tuple[int, Any]:
        """Send a signed request, as Slack does. Return status and body of the answer."""
        body, stamp = json.dumps(payload).encode(), str(int(time.time() if at is None else at))
        digest = hmac.new(secret.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
        headers = {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": f"v0={digest}"}
        status, _, answer = await request(self.address, "POST", "/slack", body=body, headers=headers)
        return status, answer

    async def event(self, **event: Any) -> int:
        """Send an event with these members in place of the first message's. Return the status."""
        return (await self.send({"type": "event_callback", "event_id": "Ev1", "event": FIRST | event}))[0]


@asynccontextmanager
async def connected(folder: Path, agent: Agent, *says: bytes) -> AsyncIterator[Connected]:
    """Yield the example, connected to a server with this agent and to Slack."""
    here = f"http://127.0.0.1:{(port := free_port())}"
    secrets = {
        "SLACK_SIGNING_SECRET": SIGNING, "SLACK_BOT_TOKEN": "xoxb-1", "UNDERSTUDY_WEBHOOK_SECRET": WEBHOOKS,
        "UNDERSTUDY_TOKEN": Tokens(OWN, time.time).issue("slack", "s", ttl_s=600),
    }  # fmt: skip
    hooks = {WebhookSettings: WebhookSettings([f"{here}/answers"], SecretStr(WEBHOOKS), True)}
    slack = Slack(says=list(says))
    with trio.fail_after(120):
        async with served(folder, [agent], secret=OWN, own=hooks) as running, trio.open_nursery() as nursery:
            await slack.start(nursery)
            command = [sys.executable, "examples/slack.py", "--port", str(port), "--here", here, "--agent", "script"]
            command += ["--server", running.address, "--slack", slack.url]
            start = partial(trio.run_process, command, cwd=ROOT, env=os.environ | secrets, stdout=subprocess.PIPE)
            process = await nursery.start(start)
            assert (await process.stdout.receive_some(100)).startswith(b"slack is answered on port")
            yield Connected(running, slack, here)
            nursery.cancel_scope.cancel()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the sender of webhooks look and retry without delay."""
    monkeypatch.setattr("understudy.extensions.notices.webhook_sender.EVERY_S", 0.02)
    monkeypatch.setattr("understudy.extensions.notices.webhook_sender.FIRST_S", 0.02)


async def test_messages_are_answered_in_their_threads(tmp_path: Path) -> None:
    """Slack refuses the first answer with 200, as it does; a repeated event is one message; programs start no run."""
    async with connected(tmp_path, scripted(Say("1 < 2")), b'{"ok": false, "error": "ratelimited"}') as slack:
        assert await slack.send({"type": "url_verification", "challenge": "c"}) == (200, {"challenge": "c"})
        assert [await slack.event(), await slack.event()] == [200, 200]
        await slack.slack.until(2)
        for unheard in ({"bot_id": "B1"}, {"subtype": "message_changed"}, {"text": " "}, {"type": "reaction_added"}):
            assert await slack.event(ts="1700000001.1", **unheard) == 200
        await slack.event(text="<@U0BOT> more &amp; more", ts="1700000002.1", thread_ts="1700000000.000100")
        await slack.slack.until(3)
        posted = {"channel": "C1", "thread_ts": "1700000000.000100", "text": "1 &lt; 2 "}
        assert [body for _, body in slack.slack.got] == [posted] * 3
        messages = await slack.running.store.messages("slack", "slack.C1.1700000000.000100")
        assert [item.content for item in messages.items if item.role == "user"] == ["hello", "more & more"]
        assert len((await slack.running.store.runs("slack")).items) == 2


async def test_a_run_that_waits_says_where(tmp_path: Path) -> None:
    asking = scripted(Call([("send_mail", {"to": "bob@example.org"})]), Say("sent"))
    async with connected(tmp_path, asking) as slack:
        await slack.event()
        await slack.slack.until(1)
        text = slack.slack.got[0][1]["text"]
        assert text.endswith(f"\n{slack.running.address}/#slack.C1.1700000000.000100")


async def test_what_is_not_signed_does_nothing(tmp_path: Path) -> None:
    async with connected(tmp_path, scripted(Say("sent"))) as slack:
        event = {"type": "event_callback", "event": FIRST}
        assert (await slack.send(event, secret="another"))[0] == 401
        assert (await slack.send(event, at=time.time() - 600))[0] == 401
        for path in ("/slack", "/answers/x"):
            assert (await request(slack.address, "POST", path, body=b"{}"))[0] == 401
        assert not (await slack.running.store.runs("slack")).items
        assert not slack.slack.got


async def test_who_names_the_address_of_answers_posts_nothing(tmp_path: Path) -> None:
    """Any user of the server may have a webhook there, and a thread of such a name."""
    async with connected(tmp_path, scripted(Say("sent"))) as slack:
        run = {"message": "go", "agent": "script", "thread_id": "slack.C9.1", "webhook": f"{slack.address}/answers/1"}
        token = Tokens(OWN, time.time).issue("eve", "s", ttl_s=600)
        status, _, _ = await request(
            slack.running.address, "POST", "/api/runs", token=token, body=json.dumps(run).encode()
        )
        assert status == 202
        await slack.event()
        await slack.slack.until(1)
        while await slack.running.store.read(deliveries.due, time.time() + 1e6):  # noqa: ASYNC110 - over sockets
            await trio.sleep(0.02)
        assert [body["channel"] for _, body in slack.slack.got] == ["C1"]
