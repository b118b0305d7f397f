"""Webhooks: a run's end and its questions reach a receiver, signed, over failures and restarts."""

import base64
import hashlib
import hmac
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import trio
from typed_settings import SecretStr

from tests.rigs.caller import Caller
from tests.rigs.http import new_token
from tests.rigs.receiver import WEBHOOK_SECRET, Receiver
from tests.rigs.scripted_model import Call, Say, scripted
from tests.rigs.serving import serving
from understudy.app.server import Running
from understudy.extensions.notices.settings import WebhookSettings


class SignedReceiver(Receiver):
    """Checks the signature of each request."""

    def read(self, head: dict[str, str], body: bytes) -> Any:
        signed = f"{head['webhook-id']}.{head['webhook-timestamp']}.".encode() + body
        digest = hmac.new(WEBHOOK_SECRET.encode(), signed, hashlib.sha256).digest()
        assert head["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
        return super().read(head, body)


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the sender of webhooks look and retry without delay."""
    monkeypatch.setattr("understudy.extensions.notices.webhook_sender.EVERY_S", 0.02)
    monkeypatch.setattr("understudy.extensions.notices.webhook_sender.FIRST_S", 0.02)


@pytest.fixture
async def receiver(nursery: trio.Nursery) -> Receiver:
    signed_receiver = SignedReceiver()
    await signed_receiver.start(nursery)
    return signed_receiver


def hooked(folder: Path, receiver: Receiver, *, private: bool = True) -> AbstractAsyncContextManager[Running]:
    allowed = WebhookSettings([f"http://127.0.0.1:{receiver.port}/hooks"], SecretStr(WEBHOOK_SECRET), private)
    agent = scripted(Call([("send_mail", {"to": "bob"})]), Say("sent"))
    return serving(folder, agent, own={WebhookSettings: allowed})


async def test_questions_and_the_end_are_delivered_after_failures(tmp_path: Path, receiver: Receiver) -> None:
    receiver.statuses = [500, 503]
    async with hooked(tmp_path, receiver) as running:
        ada = Caller(running, await new_token(running))
        run_id = (await ada.post("/api/runs", message="go", agent="script", webhook=receiver.url))["run_id"]
        await receiver.until(3)
        (call,) = (await ada.get(f"/api/runs/{run_id}"))["waits_for"]
        await ada.post("/api/commands", type="approve", call_id=call["call_id"], decision="allow")
        await receiver.until(4)
        delivered = 'understudy_webhooks_total{outcome="delivered"} 2.0'
        with trio.fail_after(60):
            while delivered not in (metrics := await ada.get("/metrics")):  # noqa: ASYNC110 - counted after the answer
                await trio.sleep(0.01)
    ids = [head["webhook-id"] for head, _ in receiver.got]
    assert len(set(ids[:3])) == 1
    assert [body["type"] for _, body in receiver.got] == ["run.approval_required"] * 3 + ["run.ended"]
    ended = receiver.got[3][1]
    assert (ended["data"]["run_id"], ended["data"]["event"]["data"]["message"]) == (run_id, "sent ")
    assert 'understudy_webhooks_total{outcome="failed"} 2.0' in metrics


async def test_what_was_not_delivered_is_delivered_by_the_next_server(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("understudy.extensions.notices.webhook_sender.FIRST_S", 1.0)
    receiver.statuses = [500]
    async with hooked(tmp_path, receiver) as running:
        ada = Caller(running, await new_token(running))
        await ada.post("/api/runs", message="go", agent="script", webhook=receiver.url)
        await receiver.until(1)
    async with hooked(tmp_path, receiver):
        await receiver.until(2)
    assert receiver.got[0][0]["webhook-id"] == receiver.got[1][0]["webhook-id"]


async def test_a_private_host_is_never_called_unless_allowed(tmp_path: Path, receiver: Receiver, caplog: Any) -> None:
    async with hooked(tmp_path, receiver, private=False) as running:
        ada = Caller(running, await new_token(running))
        await ada.post("/api/runs", message="go", agent="script", webhook=receiver.url)
        with trio.fail_after(60):
            while "webhook.given_up" not in caplog.text:  # noqa: ASYNC110 - it is logged
                await trio.sleep(0.01)
    assert receiver.got == []


async def test_an_address_outside_the_prefixes_is_refused(tmp_path: Path, receiver: Receiver) -> None:
    async with hooked(tmp_path, receiver) as running:
        ada = Caller(running, await new_token(running))
        refused = await ada.post("/api/runs", 400, message="go", agent="script", webhook="http://127.0.0.1:1/hooks")
    assert refused["error"]["code"] == "invalid_command"
    assert "`settings.webhook` is not among the addresses" in refused["error"]["message"]
