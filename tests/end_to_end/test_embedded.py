"""The chat for other sites: who may frame it, and which script a site gets."""

from typing import Any

from tests.rigs.http import request

LISTED = ["https://app.example.org", "http://127.0.0.1:9000", "https://bücher.example"]
OTHER = "https://evil.example"


def frames_of(headers: dict[str, str]) -> list[str]:
    parts = headers["content-security-policy"].split("; ")
    (ancestors,) = [part for part in parts if part.startswith("frame-ancestors ")]
    return ancestors.split()[1:]


async def test_allowed_origins_alone_may_frame_the_chat_for_sites(serve: Any) -> None:
    """International names are as browsers send them. The rest of the policy is that of the chat page."""
    running = await serve(allowed_origins=LISTED)
    _, page, _ = await request(running.address, "GET", "/")
    status, embedded, body = await request(running.address, "GET", "/embed")
    assert (status, "<!doctype html>" in body) == (200, True)
    assert frames_of(embedded) == ["'self'", *LISTED[:2], "https://xn--bcher-kva.example"]
    assert frames_of(page) == ["'none'"]
    policies = [head["content-security-policy"].split("; ") for head in (page, embedded)]
    rest = [[part for part in policy if not part.startswith("frame-ancestors")] for policy in policies]
    assert rest[0] == rest[1]
    assert page["cross-origin-resource-policy"] == "same-origin"
    assert embedded["cross-origin-resource-policy"] == "cross-origin"
    assert embedded["cross-origin-embedder-policy"] == "require-corp"


async def test_without_allowed_origins_only_the_servers_own_pages_may(serve: Any) -> None:
    running = await serve()
    _, headers, _ = await request(running.address, "GET", "/embed")
    assert frames_of(headers) == ["'self'"]


async def test_no_other_answer_may_be_framed(serve: Any) -> None:
    running = await serve(allowed_origins=LISTED)
    for path in ("/", "/admin", "/join", "/observer", "/widgets/none", "/page/embed/index.html", "/api/agents"):
        _, headers, _ = await request(running.address, "GET", path)
        assert frames_of(headers) == ["'none'"], path


async def test_a_site_that_is_not_allowed_gets_a_script_that_says_so(serve: Any) -> None:
    running = await serve(allowed_origins=LISTED)
    status, headers, script = await request(running.address, "GET", "/page/widget.js", headers={"Origin": LISTED[0]})
    assert (status, headers["access-control-allow-origin"], "attachShadow" in script) == (200, LISTED[0], True)
    status, headers, refusal = await request(running.address, "GET", "/page/widget.js", headers={"Origin": OTHER})
    assert (status, headers["access-control-allow-origin"]) == (200, "*")
    assert headers["content-type"] == "text/javascript; charset=utf-8"
    assert "origin" in headers["vary"].lower()
    assert "does not allow pages of" in refusal
    assert "attachShadow" not in refusal
    assert not any(origin in refusal for origin in LISTED)
    again = {"Origin": LISTED[0], "If-None-Match": headers["etag"]}
    status, _, script = await request(running.address, "GET", "/page/widget.js", headers=again)
    assert (status, "attachShadow" in script) == (200, True), "a copy of the one is no copy of the other"
    for path in ("/page/client.js", "/page/embed/refused.js", "/embed", "/page/widget.js/"):
        status, headers, _ = await request(running.address, "GET", path, headers={"Origin": OTHER})
        assert status == 403, path
        assert "access-control-allow-origin" not in headers, path
