"""The secret is replaced in steps while users are signed in, and browsers wait to be notified."""

import time
from pathlib import Path

import trio

from tests.end_to_end.http import request
from tests.end_to_end.push_service import PushService, claims_of
from tests.end_to_end.test_runs_api import Caller
from tests.end_to_end.test_schedules import send
from tests.end_to_end.test_web_push import quick as quick
from tests.end_to_end.test_web_push import service as service
from tests.end_to_end.test_web_push import serving
from transport.auth.tokens import Tokens
from understudy.app.server import Running

OLD, NEW = "the-old-secret-of-more-than-32-bytes", "a-new-secret-of-more-than-32-bytes!!"


async def status_of(running: Running, token: str) -> int:
    """Return the status of a request with this token."""
    return (await request(running.address, "GET", "/api/threads", token=token))[0]


async def notified(ada: Caller, service: PushService, number: int, thread: str) -> str:
    """Have the user's agent wait for them. Return the header by which the server proved itself to the push service."""
    await ada.post("/api/runs", message="Mail Bob", agent="script", thread_id=thread)
    await service.until(number)
    return str(service.got[number - 1][0]["authorization"])


async def test_nobody_is_signed_out_while_the_secret_is_replaced(tmp_path: Path, service: PushService) -> None:
    new = Tokens(NEW, time.time)
    token = Tokens(OLD, lambda: time.time() - 120).issue("ada", "s1", ttl_s=600)  # a fresh one would not be renewed
    async with serving(tmp_path, service, secret=OLD, accepted_secrets=[NEW]) as running:
        assert await status_of(running, new.issue("ada", "s2", ttl_s=600)) == 200
        ada = Caller(running, token)
        await send(ada, "PUT", "/api/web-push/browsers", **service.subscription)
        key = (await ada.get("/api/web-push"))["key"]
        claims_of(await notified(ada, service, 1, "t1"), key)
    async with serving(tmp_path, service, secret=NEW, accepted_secrets=[OLD]) as running:
        ada.running = running
        later = (await ada.get("/api/web-push"))["key"]
        assert later != key
        claims_of(await notified(ada, service, 2, "t2"), key)
        status, _, body = await request(running.address, "POST", "/api/sessions/refresh", token=token)
        assert status == 200
        renewed = body["session_token"]
        assert (new.verify(renewed).user, new.verify(renewed).session) == ("ada", "s1")
        await send(ada, "PUT", "/api/web-push/browsers", **service.subscription)  # as the page does
        claims_of(await notified(ada, service, 3, "t3"), later)
    async with serving(tmp_path, service, secret=NEW) as running:
        assert (await status_of(running, token), await status_of(running, renewed)) == (401, 200)
        ada = Caller(running, renewed)
        with trio.fail_after(60):
            claims_of(await notified(ada, service, 4, "t4"), later)
