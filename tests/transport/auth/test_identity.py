import base64

import pytest

from transport.auth.identity import find_token, is_loopback, is_origin, origin_allowed

HEADERS = {"Authorization": "Bearer header"}
CARRIERS = [
    ({}, {}, [], None),
    (HEADERS, {"session_token": "query"}, ["jwt.a.b.c"], "a.b.c"),
    (HEADERS, {"session_token": "query"}, ["understudy.v1"], "header"),
    ({}, {"session_token": "query"}, ["understudy.v1", "jwt.a.b.c"], "a.b.c"),
    ({}, {"session_token": "query"}, [], "query"),
    ({"authorization": "bearer  header "}, {}, [], "header"),
    ({"Authorization": "Basic YTpi"}, {"session_token": "query"}, [], "query"),
    ({"Authorization": "Bearer"}, {"session_token": "query"}, [], ""),
    (HEADERS, {}, ["jwt."], ""),
    (HEADERS, {}, ["jwt.garbage!"], "garbage!"),
    ({}, {"session_token": ""}, [], ""),
    ({}, {}, ["jwt." + base64.urlsafe_b64encode(b"a.b.cd").decode().rstrip("=")], "a.b.cd"),
    ({}, {}, ["jwt.____"], "____"),
]


@pytest.mark.parametrize(("headers", "query", "subprotocols", "token"), CARRIERS)
def test_the_first_carrier_decides(headers, query, subprotocols, token) -> None:
    """A carrier that is present is taken, be it damaged or empty; no other is tried after it."""
    assert find_token(headers, query, subprotocols) == token


ALLOWED = [
    (None, "chat.example"), ("http://chat.example", "chat.example"), ("https://chat.example", "chat.example"),
    ("https://chat.example", "chat.example:443"), ("http://chat.example:80", "chat.example"),
    ("http://CHAT.example", "chat.EXAMPLE"), ("http://127.0.0.1:8002", "127.0.0.1:8002"),
    ("http://[::1]:8002", "[::1]:8002"), ("https://app.example", "chat.example"),
    ("https://app.example:443", "chat.example"), ("HTTP://Chat.Example", "chat.example"),
    ("https://APP.example", "chat.example"), ("https://chat.example.", "chat.example."),
    ("https://xn--bcher-kva.example", "chat.example"), ("http://[::1]", "[::1]:80"),
    ("http://[2001:DB8::1]:8002", "[2001:db8::1]:8002"),
]  # fmt: skip
REFUSED = [
    ("http://app.example", "chat.example"), ("https://app.example:8443", "chat.example"),
    ("https://app.example.evil", "chat.example"), ("https://evil.example", "chat.example"),
    ("http://chat.example:8003", "chat.example:8002"), ("http://chat.example", "chat.example:443"),
    ("http://chat.example.evil", "chat.example"), ("http://evil.example@chat.example", "chat.example"),
    ("http://chat.example", None), ("null", "chat.example"), ("", "chat.example"), ("http://", ""),
    ("http://chat.example:x", "chat.example"), ("http://chat.example/page", "chat.example"), ("http://[chat", "[chat"),
    ("http://chat.example", "chat.example/x"), ("ftp://chat.example", "chat.example"),
    ("ws://chat.example", "chat.example"), ("https://app.example.", "chat.example"),
    ("https://chat.example.", "chat.example"), ("https://app.example@evil.example", "chat.example"),
    ("https://user:word@app.example", "chat.example"), ("https://evil.example\\@app.example", "chat.example"),
    ("https://evil.example#@app.example", "chat.example"), ("https://app.example?", "chat.example"),
    ("https://app.ex\tample", "chat.example"), (" https://app.example", "chat.example"),
    ("https://app.example, https://evil.example", "chat.example"),
    ("https://app.example, https://app.example", "chat.example"),
    ("https://chat.example", "chat.example, chat.example"), ("null, https://app.example", "chat.example"),
    ("https://app.example:0", "chat.example"), ("http://chat.example:0", "chat.example"),
    ("https://app.example:99999", "chat.example"), ("https://b\u00fccher.example", "chat.example"),
    ("https://bucher.example", "chat.example"), ("http://[::1]:3000", "[::1]:8002"), ("http://::1", "::1"),
    ("file://", "chat.example"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("origin", "host", "allowed"), [*((*pair, True) for pair in ALLOWED), *((*pair, False) for pair in REFUSED)]
)
def test_origins(origin, host, allowed) -> None:
    """The server's own origin, listed ones, and clients without an origin are allowed."""
    assert origin_allowed(origin, host, ["https://app.example", "https://b\u00fccher.example"]) is allowed


@pytest.mark.parametrize("entry", ["https://a.example", "http://localhost:3000", "https://b\u00fccher.example:8443/"])
def test_an_entry_of_the_list_is_an_origin(entry) -> None:
    assert is_origin(entry)


@pytest.mark.parametrize(
    "entry",
    ["*", "https://a.example:0", "example.org", "https://*.example.org", "https://example.org/path", "null", ""],
)
def test_malformed_origins_are_recognized(entry) -> None:
    """It would never let a page in, and its author thinks that it does."""
    assert not is_origin(entry)


def test_a_name_pointed_at_loopback_is_not_our_own() -> None:
    """On a loopback server a page's own name, pointed at 127.0.0.1, does not make it the server's page."""
    assert not origin_allowed("http://evil.example:8002", "evil.example:8002", [], loopback=True)
    assert origin_allowed("http://localhost:8002", "localhost:8002", [], loopback=True)
    assert origin_allowed("https://app.example", "localhost:8002", ["https://app.example"], loopback=True)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True), ("LOCALHOST:8002", True), ("127.0.0.1", True), ("127.8.9.1:80", True), ("::1", True),
        ("[::1]", True), ("[::1]:8002", True), ("::ffff:127.0.0.1", True), ("0.0.0.0", False), ("::", False),
        ("", False), ("10.0.0.1", False), ("localhost.evil.example", False), ("127.0.0.1.evil.example", False),
        ("evil.example", False), ("[", False),
    ],
)  # fmt: skip
def test_loopback(host, loopback) -> None:
    """Names of this machine are loopback; wildcard addresses are not."""
    assert is_loopback(host) is loopback
