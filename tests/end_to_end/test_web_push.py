"""Web Push: users' browsers are told that a run needs them, encrypted, over failures and restarts; nothing else is."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.end_to_end.http import new_token, request
from tests.end_to_end.push_service import PushService, claims_of
from tests.end_to_end.scripted_model import Call, Say, scripted
from tests.end_to_end.server_pair import post
from tests.end_to_end.test_inbox import inbox
from tests.end_to_end.test_runs_api import Caller
from tests.end_to_end.test_schedules import send
from understudy.app.server import Running, serve_app
from understudy.app.settings import Settings


@pytest.fixture
async def service(nursery: trio.Nursery) -> PushService:
    """A push service that runs until the end of the test."""
    made = PushService()
    await made.start(nursery)
    return made


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have notices be due, and retried, without delay."""
    monkeypatch.setattr("understudy.storage.web_push.DELAY_S", 0.0)
    monkeypatch.setattr("understudy.chat.notices.sender.EVERY_S", 0.02)
    monkeypatch.setattr("understudy.chat.notices.sender.delay_s", lambda *_: 0.05)


@asynccontextmanager
async def serving(folder: Path, service: PushService, **settings: Any) -> AsyncIterator[Running]:
    """Yield a server that may call the push service. It is stopped in order at the end of the block."""
    allowed = {"web_push_urls": [service.origin], "webhook_private": True}
    given = Settings(port=0, data_dir=folder, **allowed | {"web_push_contact": "mailto:ops@example.org"} | settings)
    mailing = scripted(Call([("send_mail", {"to": "bob@secret.example"})]), Say("a private answer"))
    async with trio.open_nursery() as nursery:
        yield await nursery.start(serve_app, given, (mailing,))
        nursery.cancel_scope.cancel()


async def subscribed(running: Running, service: PushService, **more: Any) -> Caller:
    """Return a user who has their browser notified."""
    ada = Caller(running, await new_token(running))
    await send(ada, "PUT", "/api/web-push/browsers", **service.subscription, **more)
    return ada


@pytest.mark.promise("wire.endpoint-web-push")
async def test_a_browser_is_told_of_the_chat_and_nothing_more(tmp_path: Path, service: PushService) -> None:
    async with serving(tmp_path, service) as running:
        ada = await subscribed(running, service, answers=True)
        await ada.post("/api/runs", message="Mail Bob", agent="script", thread_id="t")
        await service.until(1)
        head, told = service.got[0]
        assert told == {"kind": "needs_you", "thread_id": "t", "title": "Mail Bob"}
        assert (head["content-encoding"], head["urgency"], int(head["ttl"]) > 60) == ("aes128gcm", "high", True)
        key = (await ada.get("/api/web-push"))["key"]
        claims = claims_of(head["authorization"], key)
        assert (claims["aud"], claims["sub"]) == (service.origin, "mailto:ops@example.org")
        (item,) = (await inbox(ada, needs_you=1))["needs_you"]
        await post(running, ada.token, "approve", call_id=item["call_id"], decision="allow")
        await service.until(2)
        assert service.got[1][1] == {"kind": "answered", "thread_id": "t", "title": "Mail Bob"}
        (browser,) = (await ada.get("/api/web-push"))["browsers"]
        assert (browser["host"], browser["answers"]) == ("127.0.0.1", True)
        exported = await ada.get("/api/me/export")
        assert exported["browsers"] == [browser]
        assert service.subscription["endpoint"] not in json.dumps(exported)


@pytest.mark.proof("timing")
async def test_a_notice_survives_failures_and_a_restart_of_the_server(tmp_path: Path, service: PushService) -> None:
    service.statuses += [500, 503]
    async with serving(tmp_path, service) as running:
        ada = await subscribed(running, service)
        key = (await ada.get("/api/web-push"))["key"]
        await ada.post("/api/runs", message="go", agent="script", thread_id="t")
        await service.until(1)
    async with serving(tmp_path, service) as running:
        ada.running = running
        await service.until(3)
        assert (await ada.get("/api/web-push"))["key"] == key
        assert [told["kind"] for _, told in service.got] == ["needs_you"] * 3


async def test_what_was_answered_or_seen_is_not_sent(
    tmp_path: Path, service: PushService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("understudy.storage.web_push.DELAY_S", 1.0)
    async with serving(tmp_path, service) as running:
        ada = await subscribed(running, service, answers=True)
        await ada.post("/api/runs", message="go", agent="script", thread_id="t")
        (item,) = (await inbox(ada, needs_you=1))["needs_you"]
        await post(running, ada.token, "approve", call_id=item["call_id"], decision="deny")
        await inbox(ada, unread=1)
        await ada.post("/api/inbox/read", 204, all=True)
        with trio.fail_after(60):
            while True:
                _, _, metrics = await request(running.address, "GET", "/metrics")
                if 'understudy_notices_total{outcome="obsolete"} 2.0' in str(metrics):
                    break
                await trio.sleep(0.05)
    assert service.got == []


async def test_a_browser_is_forgotten_when_it_is_gone_or_its_session_ends(tmp_path: Path, service: PushService) -> None:
    service.statuses += [410]
    async with serving(tmp_path, service) as running:
        ada = await subscribed(running, service)
        await ada.post("/api/runs", message="go", agent="script", thread_id="t")
        with trio.fail_after(60):
            while (await ada.get("/api/web-push"))["browsers"]:  # noqa: ASYNC110 - as a client asks
                await trio.sleep(0.02)
        bob = await subscribed(running, service)
        await bob.post("/api/runs", message="go", agent="script", thread_id="t")
        await service.until(2)
        await send(bob, "DELETE", "/api/web-push/browsers/none", 404)
        (browser,) = (await bob.get("/api/web-push"))["browsers"]
        await send(bob, "DELETE", f"/api/web-push/browsers/{browser['id']}", 204)
        assert (await bob.get("/api/web-push"))["browsers"] == []


@pytest.mark.parametrize(
    "endpoint",
    ["http://127.0.0.1/x", "https://127.0.0.1/x", "https://localhost/x", "file:///etc/passwd", "https://a b"],
)
async def test_only_public_addresses_with_https_are_taken(tmp_path: Path, service: PushService, endpoint: str) -> None:
    async with serving(tmp_path, service, web_push_urls=[], webhook_private=False) as running:
        ada = Caller(running, await new_token(running))
        wanted = {"endpoint": endpoint, "keys": service.device.keys}
        answer = await send(ada, "PUT", "/api/web-push/browsers", 400, **wanted)
        assert answer["error"]["code"] == "invalid_command"
