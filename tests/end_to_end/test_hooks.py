"""Hooks: signed events in Slack's form start runs, and the answers are posted, over failures and restarts."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define, field

from tests.end_to_end.http import request
from tests.end_to_end.receiver import Receiver
from tests.end_to_end.scripted_model import Call, Say, scripted
from tests.servers.postgresql import Postgres
from transport.auth.tokens import Tokens
from understudy import Agent
from understudy.app.server import Running, serve_app
from understudy.app.settings import Settings
from understudy.chat.hooks.hook import Hook
from understudy.chat.hooks.slack import sign

pytestmark = pytest.mark.usefixtures("quick_webhooks")
SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
OWN = "a secret of more than thirty-two bytes"


@define
class Slack(Receiver):
    """Checks the signature of each answer, and answers with `says` in turn, and then that it is fine."""

    says: list[bytes] = field(factory=list)
    done: int = 200

    def read(self, head: dict[str, str], body: bytes) -> Any:
        assert head["x-slack-signature"] == sign(SECRET, head["x-slack-request-timestamp"], body)
        assert head["authorization"] == "Bearer xoxb-1"
        return super().read(head, body)

    def texts(self) -> list[str]:
        return [body["text"].strip() for _, body in self.got]

    def say(self) -> bytes:
        return self.says.pop(0) if self.says else b'{"ok": true}'


@pytest.fixture
async def slack(nursery: trio.Nursery) -> Slack:
    """A receiver of answers that runs until the end of the test."""
    made = Slack()
    await made.start(nursery)
    return made


def hook_of(slack: Slack, **changes: Any) -> dict[str, Hook]:
    given = {"user": "bot", "secret": SECRET, "agent": "script", "reply_url": slack.url, "token": "xoxb-1"}
    return {"slack": Hook(**{"name": "slack"} | given | changes)}


def echoing() -> Agent:
    """An agent that says sent, whatever it is told."""
    return scripted(Say("sent"))


@asynccontextmanager
async def serving(folder: Path, slack: Slack, agent: Agent | None = None, **settings: Any) -> AsyncIterator[Running]:
    """Yield a server with the hook. It is stopped in order at the end of the block."""
    given = Settings(port=0, data_dir=folder, **{"hooks": hook_of(slack), "secret": OWN} | settings)
    async with trio.open_nursery() as nursery:
        running: Running = await nursery.start(partial(serve_app, given, [agent or echoing()]))
        yield running
        await running.stop()
        nursery.cancel_scope.cancel()


def body_of(text: str = "hello", event_id: str = "Ev1", **event: Any) -> bytes:
    given = {"type": "message", "channel": "C1", "user": "U1", "text": text, "ts": "1700000000.000100"} | event
    return json.dumps({"type": "event_callback", "team_id": "T1", "event_id": event_id, "event": given}).encode()


async def send(
    running: Running, body: bytes, *, name: str = "slack", at: float | None = None, secret: str = SECRET, **more: str
) -> tuple[int, Any]:
    """Send a signed request. Return status and body of the answer."""
    stamp = str(int(time.time() if at is None else at))
    headers = {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": sign(secret, stamp, body)} | more
    status, _, said = await request(running.address, "POST", f"/api/hooks/{name}", body=body, headers=headers)
    return status, said


async def test_a_message_is_answered_in_its_thread(tmp_path: Path, slack: Slack) -> None:
    """The request is answered before the run has ended; a second message of the thread is in the same conversation."""
    with trio.fail_after(120):
        async with serving(tmp_path, slack) as running:
            assert await send(running, b'{"type": "url_verification", "challenge": "c"}') == (200, {"challenge": "c"})
            status, said = await send(running, body_of())
            assert (status, said["ok"]) == (200, True)
            await slack.until(1)
            _, again = await send(running, body_of("more", "Ev2", thread_ts="1700000000.000100", ts="1700000009.1"))
            await slack.until(2)
            _, other = await send(running, body_of("new", "Ev3", ts="1700000010.1"))
            await slack.until(3)
            assert said["thread_id"] == again["thread_id"] != other["thread_id"]
            messages = await running.store.messages("bot", said["thread_id"])
            assert [each.content for each in messages.items if each.role == "user"] == ["hello", "more"]
    where = [(body["channel"], body["thread_ts"]) for _, body in slack.got]
    assert where == [("C1", "1700000000.000100")] * 2 + [("C1", "1700000010.1")]
    assert slack.texts() == ["sent"] * 3


async def test_a_repeated_request_is_the_same_message(tmp_path: Path, slack: Slack) -> None:
    """Slack repeats what it has heard no answer to, also at once; one run works, and one answer is posted."""
    with trio.fail_after(120):
        async with serving(tmp_path, slack) as running:
            answers = list[tuple[int, Any]]()

            async def repeat() -> None:
                answers.append(await send(running, body_of(), **{"X-Slack-Retry-Num": "1"}))

            async with trio.open_nursery() as nursery:
                for _ in range(4):
                    nursery.start_soon(repeat)
            await slack.until(1)
            await repeat()
            assert [status for status, _ in answers] == [200] * 5
            assert len({said["run_id"] for _, said in answers}) == 1
            assert len((await running.store.runs("bot")).items) == 1
            await send(running, body_of("the next", "Ev2"))
            await slack.until(2)
    assert slack.texts() == ["sent"] * 2


async def test_what_is_not_signed_starts_nothing(tmp_path: Path, slack: Slack) -> None:
    """Another secret, an old request, a changed body, no headers, and a hook that there is not: all the same answer."""
    with trio.fail_after(120):
        async with serving(tmp_path, slack) as running:
            told = [
                await send(running, body_of(), secret="another secret of Slack's"),
                await send(running, body_of(), at=time.time() - 400),
                await send(running, body_of(), at=time.time() + 400),
                await send(running, body_of(), **{"X-Slack-Signature": "v0="}),
                await send(running, body_of(), name="other"),
                await send(running, body_of(), name="other", secret="0" * 32),
            ]
            status, _, said = await request(running.address, "POST", "/api/hooks/slack", body=body_of())
            told.append((status, said))
            for status, said in told:
                assert (status, said["error"]["code"]) == (401, "unauthenticated")
                assert said["error"]["message"] == told[0][1]["error"]["message"]
            assert (await running.store.runs("bot")).items == ()
            for body in (b"", b"[]", b"{", b"\xff" * 9, body_of(channel=["C1"])):
                status, said = await send(running, body)
                assert (status, said["error"]["code"]) == (400, "invalid_command")
            assert (await send(running, b" " * 300_000))[0] == 413
            for ignored in (body_of(bot_id="B1"), body_of(subtype="message_changed"), b'{"type": "other"}'):
                assert await send(running, ignored) == (200, {"ok": True, "ignored": True})
            assert (await running.store.runs("bot")).items == ()
    assert slack.got == []


async def test_an_answer_is_posted_again_until_it_is_taken(tmp_path: Path, slack: Slack) -> None:
    """After a failure, and after 200 with a refusal; under the same id each time."""
    slack.statuses, slack.says = [503, 200], [b"", b'{"ok": false, "error": "ratelimited"}']
    with trio.fail_after(120):
        async with serving(tmp_path, slack) as running:
            await send(running, body_of())
            await slack.until(3)
            delivered = 'understudy_webhooks_total{outcome="delivered"} 1.0'
            token = Tokens(OWN, time.time).issue("m", "s1", roles=["metrics"], ttl_s=24 * 3600)
            while delivered not in (await request(running.address, "GET", "/metrics", token=token))[2]:  # noqa: ASYNC110
                await trio.sleep(0.01)
    assert slack.texts() == ["sent"] * 3
    assert len({head["webhook-id"] for head, _ in slack.got}) == 1


async def test_an_answer_outlives_the_server(tmp_path: Path, slack: Slack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("understudy.chat.webhook_sender.FIRST_S", 1.0)
    slack.statuses = [500]
    with trio.fail_after(120):
        async with serving(tmp_path, slack) as running:
            await send(running, body_of())
            await slack.until(1)
        async with serving(tmp_path, slack):
            await slack.until(2)
    assert slack.got[0][0]["webhook-id"] == slack.got[1][0]["webhook-id"]


async def test_a_hook_that_is_gone_posts_nothing(
    tmp_path: Path, slack: Slack, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("understudy.chat.webhook_sender.FIRST_S", 0.5)
    slack.statuses = [500]
    with trio.fail_after(120):
        async with serving(tmp_path, slack) as running:
            await send(running, body_of())
            await slack.until(1)
        async with serving(tmp_path, slack, hooks={"other": hook_of(slack)["slack"]}):
            while "webhook.given_up" not in caplog.text:  # noqa: ASYNC110 - it is logged
                await trio.sleep(0.01)
    assert len(slack.got) == 1


async def test_a_run_that_waits_or_fails_says_so(tmp_path: Path, slack: Slack) -> None:
    """A call that needs an approval leads to the page; an agent that does not exist is refused for good."""
    asking = scripted(Call([("send_mail", {"to": "bob"})]), Say("sent"))
    with trio.fail_after(120):
        async with serving(tmp_path, slack, asking, public_url="https://chat.example.org") as running:
            _, said = await send(running, body_of())
            await slack.until(1)
            wanted = f"The call of send_mail needs an approval: https://chat.example.org/#{said['thread_id']}"
            assert slack.texts() == [wanted]
    hooks = hook_of(slack, agent="nobody")
    async with serving(tmp_path / "other", slack, hooks=hooks) as running:
        assert await send(running, body_of()) == (200, {"ok": False, "error": "unknown_agent_type"})


async def test_a_user_cannot_have_the_server_post_to_a_hook(tmp_path: Path, slack: Slack) -> None:
    """The addresses of answers are the server's own: as a message's webhook they are refused."""
    with trio.fail_after(120):
        given = {"webhook_urls": [slack.origin], "webhook_secret": "x1y2" * 8, "webhook_private": True}
        async with serving(tmp_path, slack, **given) as running:
            token = Tokens(OWN, time.time).issue("ada", "s1", ttl_s=24 * 3600)
            body = {"message": "go", "agent": "script", "webhook": "hook:slack?channel=C1&thread_ts=1"}
            status, _, said = await request(
                running.address, "POST", "/api/runs", body=json.dumps(body).encode(), token=token
            )
            assert (status, said["error"]["code"]) == (400, "invalid_command")
    assert slack.got == []


async def test_two_nodes_take_the_same_message_once(
    tmp_path: Path, slack: Slack, postgres: Postgres, redis: Any
) -> None:
    """Slack's repetition reaches the other node; the answer is posted once."""
    shared = {"database_url": postgres.create(), "redis_url": redis.url}
    with trio.fail_after(180):
        async with serving(tmp_path / "a", slack, **shared) as a, serving(tmp_path / "b", slack, **shared) as b:
            first, second = await send(a, body_of()), await send(b, body_of())
            assert first[1]["run_id"] == second[1]["run_id"]
            await slack.until(1)
            _, later = await send(b, body_of("more", "Ev2", thread_ts="1700000000.000100"))
            assert later["thread_id"] == first[1]["thread_id"]
            await slack.until(2)
    assert len({head["webhook-id"] for head, _ in slack.got}) == 2
