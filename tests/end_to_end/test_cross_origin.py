"""Pages of allowed origins may read every answer of every HTTP endpoint (the Fetch standard's CORS protocol)."""

from typing import Any

import pytest

from tests.rigs.cross_origin import LISTED, listed, readable
from tests.rigs.http import request
from tests.rigs.scripted_model import Say, scripted
from tests.rigs.sse import streaming
from tests.rigs.thread_stream import say
from understudy.storage.limits import Limits

OTHER = "https://evil.example"
OF_CORS = "access-control-"


def preflight(method: str, *headers: str, origin: str = LISTED) -> dict[str, str]:
    sent = {"Origin": origin, "Access-Control-Request-Method": method}
    return sent | ({"Access-Control-Request-Headers": ",".join(headers)} if headers else {})


def unreadable(headers: dict[str, str]) -> None:
    """Check that the answer has no CORS header, and varies by origin."""
    assert [name for name in headers if name.startswith(OF_CORS)] == []
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "origin" in listed(headers["vary"])


ANSWERS = [
    ("GET", "/api/agents", 200), ("GET", "/api/threads/t/events", 200), ("GET", "/api/threads/none", 404),
    ("GET", "/api/nothing-is-here", 404), ("PUT", "/api/agents", 405), ("POST", "/api/commands", 400),
    ("GET", "/page/client.js", 200), ("GET", "/page/none.js", 404), ("GET", "/openapi.json", 200),
]  # fmt: skip


@pytest.mark.promise("wire.cors")
async def test_an_allowed_origin_may_read_every_answer(serve_guest: Any) -> None:
    running, token = await serve_guest(scripted(Say("one")), allowed_origins=[LISTED])
    await say(running, token)
    for method, path, status in ANSWERS:
        for sent, expected, check in (
            ({"Origin": LISTED}, status, readable), ({"Origin": OTHER}, 403, unreadable), ({}, status, unreadable),
        ):  # fmt: skip
            answered, headers, _ = await request(running.address, method, path, token=token, headers=sent)
            assert answered == expected, (path, sent)
            check(headers)


@pytest.mark.promise("wire.cors")
async def test_an_allowed_origin_may_read_a_stream(serve_guest: Any) -> None:
    running, token = await serve_guest(scripted(Say("one")), allowed_origins=[LISTED])
    await say(running, token)
    path = "/api/threads/t/stream"
    async with streaming(running.address, path, token, headers={"Origin": LISTED}) as stream:
        assert stream.status == 200
        readable(stream.headers)
        assert (await stream.read()).data


async def test_a_copy_that_is_still_good_may_be_read(serve: Any) -> None:
    """A 304 has the headers too: the browser judges the copy that it has by them."""
    running = await serve(allowed_origins=[LISTED])
    _, headers, _ = await request(running.address, "GET", "/page/client.js", headers={"Origin": LISTED})
    again = {"Origin": LISTED, "If-None-Match": headers["etag"]}
    status, headers, _ = await request(running.address, "GET", "/page/client.js", headers=again)
    assert status == 304
    readable(headers)


async def test_a_page_can_read_429_and_its_retry_after(serve: Any) -> None:
    running = await serve(allowed_origins=[LISTED], limits=Limits(requests_per_minute=1))
    await request(running.address, "GET", "/api/agents", headers={"Origin": LISTED})
    status, headers, _ = await request(running.address, "GET", "/api/agents", headers={"Origin": LISTED})
    assert (status, int(headers["retry-after"]) > 0) == (429, True)
    readable(headers)


@pytest.mark.promise("wire.cors")
async def test_a_preflight_is_answered_without_a_token(serve: Any) -> None:
    """Browsers send none with it. What the page may send is named; the answer is good for two hours."""
    running = await serve(secret="a secret of more than thirty-two bytes", allowed_origins=[LISTED])
    for method, path in (
        ("GET", "/api/agents"), ("PATCH", "/api/threads/t"), ("DELETE", "/api/threads/t"),
        ("GET", "/api/threads/t/stream"), ("POST", "/api/sessions/refresh"), ("GET", "/page/client.js"),
        ("GET", "/api/nothing-is-here"),  # so that the page reads the 404
    ):  # fmt: skip
        sent = preflight(method, "authorization", "content-type", "last-event-id")
        status, headers, body = await request(running.address, "OPTIONS", path, headers=sent)
        assert (status, body) == (204, ""), path
        readable(headers)
        assert method in headers["access-control-allow-methods"].split(", ")
        assert {"authorization", "content-type", "last-event-id"} <= listed(headers["access-control-allow-headers"])
        assert headers["access-control-max-age"] == "7200"
        assert {"access-control-request-method", "access-control-request-headers"} <= listed(headers["vary"])
        status, headers, _ = await request(running.address, "OPTIONS", path, headers=sent | {"Origin": OTHER})
        assert status == 403, path
        unreadable(headers)


async def test_a_preflight_is_counted(serve: Any) -> None:
    running = await serve(allowed_origins=[LISTED], limits=Limits(requests_per_minute=1))
    await request(running.address, "OPTIONS", "/api/agents", headers=preflight("GET"))
    assert (await request(running.address, "OPTIONS", "/api/agents", headers=preflight("GET")))[0] == 429


async def test_the_own_page_gets_no_cors_headers(serve: Any) -> None:
    running = await serve(allowed_origins=[LISTED])
    status, headers, _ = await request(running.address, "GET", "/api/tools", headers={"Origin": running.address})
    assert status == 401
    unreadable(headers)
