"""Harmful addresses are recognised in any encoding; ordinary ones pass."""

from base64 import b64encode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanitization.detectors.markup.urls import (
    Addresses,
    carries_words,
    has_link_scheme,
    has_room_for_words,
    host,
    is_harmless,
    is_inline_image,
    plain,
    problem_in_sight,
    scheme,
)

TALK = b"Meet me at noon, bring the report"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("javascript:x", "javascript"),
        ("JavaScript:x", "javascript"),
        (" \x01javascript:x", "javascript"),
        ("java\tscript:x", "javascript"),
        ("ja va\u200bscript:x", "javascript"),
        ("&#106;avascript:x", "javascript"),
        ("javascript&colon;x", "javascript"),
        ("javascript%3ax", "javascript"),
        ("%6aavascript:x", "javascript"),
        ("javascript\\:x", "javascript"),
        ("feed:view-source:javascript:x", "javascript"),
        ("vbscript:x", "javascript"),
        ("DATA:text/html,x", "data"),
        ("https://a.example", "https"),
        ("mailto:a@example.org", "mailto"),
        ("//a.example", ""),
        ("/a:b", ""),
        ("?a:b", ""),
        ("a/b:c", ""),
        ("", ""),
    ],
)
def test_a_scheme_is_known_in_any_dress(address: str, expected: str) -> None:
    """Case, controls, spaces, entities, percent signs and backslashes hide nothing."""
    assert scheme(address) == expected
    assert has_link_scheme(address) == (expected in ("", "https", "mailto"))


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://A.Example/x", "a.example"),
        ("https://a.example:81/x", "a.example:81"),
        ("//a.example/x", "a.example"),
        ("\\\\a.example\\x", "a.example"),
        ("/\\a.example", "a.example"),
        ("https:\\\\a.example", "a.example"),
        ("https:a.example/x", "a.example"),
        ("https:///a.example/x", "a.example"),
        ("ht\ntps://a.example", "a.example"),
        ("https://b.example@a.example/", "b.example@a.example"),
        ("https://b.example\\@a.example/", "b.example@a.example"),
        ("https://b.example\\x@a.example/", "b.example"),
        ("https://[", ""),
        ("tel:+49", ""),
        ("/a", None),
        ("a/b", None),
        ("#a", None),
    ],
)
def test_a_host_is_what_a_browser_takes_for_it(address: str, expected: str | None) -> None:
    """Slashes of either kind and any number, users before the host, half addresses."""
    assert host(address) == expected


CARRYING = [
    "https://x.example/?z=" + b64encode(TALK).decode(),
    "https://x.example/?z=" + urlsafe_b64encode(TALK).decode().rstrip("="),
    "https://x.example/" + b64encode(TALK).decode().rstrip("="),
    "https://x.example/#" + TALK.hex(),
    "https://x.example/?a=1&d=" + TALK.hex(),
    f"https://{TALK.hex()[:60]}.x.example/",
    "https://x.example/?data=%7B%22mail%22%3A%22ann%40corp.example%22%7D",
    "https://x.example/?d=ann@corp.example",
    "https://x.example/?msg=she%20said%20it%20is%20fine",
    "https://x.example/?she+said+it+is+fine",
    "https://x.example/?cookie=session-1",
    "https://x.example/?conversation=abcdef",
]
QUIET = [
    "https://x.example/search?q=how+to+sort+a+list+in+place",
    "https://x.example/share?text=have%20a%20look%20at%20this&url=https%3A%2F%2Fa.example",
    "https://x.example/watch?v=dQw4w9WgXcQ&list=PLrAXtmErZgOeiKm4sgNOknGvNjby9efdf",
    "https://x.example/spreadsheets/d/1BxiMVs0XRA5nFMdKvBdBZjgmUUqptlbs74OgvE2upms/edit#gid=0",
    "https://x.example/c/9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "https://x.example/a?X-Amz-Signature=0f3c1b6f9a1f1a1b7c9e2d3f4a5b6c7d&X-Amz-Expires=300",
    "https://x.example/a?id=550e8400-e29b-41d4-a716-446655440000&state=xyz",
    "https://x.example/this-is-a-very-long-article-title-about-things/internationalization",
    "https://x.example/?gclid=EAIaIQobChMI0Z3k5vbV_QIVkoBQBh0uXgQ9EAAYASAAEgKx",
    "https://x.example/?remember_password=false",
    "https://x.example/?cursor=" + b64encode(b"2024-01-01 12:34:56.789").decode(),
    "https://x.example/?c=12&d=2024-01-01&x=10.5&y=20",
    "/local?d=1",
    "https://[",
]


@pytest.mark.parametrize("address", CARRYING)
def test_encoded_words_in_addresses_are_recognised(address: str) -> None:
    """Base64, hex, sentences and loot; in queries, fragments, paths and names of hosts."""
    assert carries_words(address)
    assert Addresses().link_problem(address) == "markup.link.exfiltration"
    assert Addresses(links=frozenset({host(address) or ""})).link_problem(address) is None


@pytest.mark.parametrize("address", QUIET)
def test_identifiers_searches_and_trackers_are_quiet(address: str) -> None:
    """Ordinary queries, ids and tracking parameters carry no data."""
    assert not carries_words(address)
    assert Addresses().link_problem(address) is None
    assert problem_in_sight(address) is None


def test_words_that_name_another_domain_mislead() -> None:
    """Only if the words are themselves an address of an unrelated domain."""
    judge = Addresses()
    assert judge.link_problem("https://else.example/", "https://bank.test/in") == "markup.link.deceptive"
    assert judge.link_problem("https://else.example/", "**www.bank.test**") == "markup.link.deceptive"
    for label in (
        "https://www.else.example/",
        "else",
        "main.py",
        "www.else.example",
        "https://",
        "see https://bank.test",
    ):
        assert judge.link_problem("https://docs.else.example/", label) is None


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://pic.example/a.png?u=1", True),
        ("//pic.example/a", True),
        ("https://pic.example:444/a", False),
        ("https://pic.example.else.example/a", False),
        ("https:pic.example/a", False),
        ("https://u@pic.example/a", False),
        ("https://pic.example\\x@else.example/a", True),
        ("https://pic.example\\@else.example/a", False),
        ("https://pic\\.example/a", False),
        ("https://pic&#46;example/a", False),
        ("https://else.example\\@pic.example/a", False),
        ("/a.png", True),
        ("a.png", True),
        ("data:image/png;base64,AAAA", True),
        ("data:image/svg+xml,x", False),
        ("data:text/html,x", False),
        ("cid:a", False),
    ],
)
def test_images_come_from_named_hosts(address: str, shown: bool) -> None:
    """Hosts are compared exactly, since an image is fetched without a click."""
    assert Addresses(images=frozenset({"pic.example"})).may_show(address) is shown


def test_inline_images_are_pictures() -> None:
    """Inline pictures pass; SVG is a document and does not."""
    assert is_inline_image(" data:image/gif;base64,R0lGOD\n lh")
    assert not is_inline_image("data:image/svg+xml;base64,R0lGODlh")
    assert not is_inline_image('data:image/png,"onerror=')


@pytest.mark.parametrize(
    ("address", "told"),
    [("//a/p?u=ann", True), ("//a/p?w=200&h=10", False), ("//a/p?d=1.5&v=x", False), ("//a/p?text=Hello", False)],
)
def test_a_picture_with_room_for_words_tells(address: str, told: bool) -> None:
    """Sizes and versions in an image's address carry no data."""
    assert has_room_for_words(address) is told


@given(st.text(max_size=60))
def test_no_text_is_too_broken(text: str) -> None:
    """Anything may stand where an address should; at a glance harmless is harmless at a second look."""
    judge = Addresses()
    if is_harmless(text):
        assert scheme(text) == ""
        assert host(text) is None or plain(text).startswith("/")
    judge.link_problem(text, text)
    judge.page_link_problem(text)
    judge.image_problem(text)
    problem_in_sight("https://" + text)
    carries_words("https://" + text)
    has_room_for_words(text)
